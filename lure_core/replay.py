"""What of the past is learned again.

Full replay: everything, in the order in which it came, so that position tells age.
"""

from __future__ import annotations

from dataclasses import dataclass

from lure_core.data import Samples, concat


@dataclass(frozen=True, eq=False)
class CycleData:
    """The data of one cycle.

    Attributes:
        new: The chunk to learn.
        past: All chunks learned before, oldest first; None for the first.
    """

    new: Samples
    past: Samples | None = None

    def replayed(self) -> Samples:
        """Everything that relearning sees, selects by and is judged by."""
        return self.new if self.past is None else concat([self.past, self.new])
