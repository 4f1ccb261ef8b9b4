"""What of the past is learned again.

Full replay: everything, in the order in which it came, so that position tells age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lure_core.data import Samples, gather
from lure_core.types import Split


@dataclass(frozen=True, eq=False)
class CycleData:
    """The data of one cycle, chunk by chunk, so that they can stay in their mapped files.

    Attributes:
        new: The chunks to learn, in order.
        past: All chunks learned before, oldest first; none for the first cycle.
    """

    new: Sequence[Samples]
    past: Sequence[Samples] = ()

    def replayed(self, split: Split) -> Samples:
        """What relearning sees, selects by or is judged by: the past, then what is new."""
        return gather([*self.past, *self.new], split)
