"""A stream's policies, each a section of settings like those of the core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lure_core.config import Replay, Unlearn
from lure_core.section import Section


@dataclass(frozen=True)
class Trigger(Section):
    """When a cycle begins: with the next chunk, which takes up to `max_chunks` that wait."""

    section: ClassVar[str] = "trigger"
    max_chunks: int = 1

    def _validate(self) -> None:
        self._within("max_chunks", 1, 1000)


@dataclass(frozen=True)
class Gate(Section):
    """How much worse than the champion a candidate may be, on how many images at least."""

    section: ClassVar[str] = "gate"
    tolerance: float = 0.02
    min_judge: int = 50

    def _validate(self) -> None:
        self._within("tolerance", 0, 1)
        self._within("min_judge", 0, 10**9)


@dataclass(frozen=True)
class Holdout(Section):
    """Shares of the images that are not trained on."""

    section: ClassVar[str] = "holdout"
    select: float = 0.05
    judge: float = 0.05

    def _validate(self) -> None:
        self._within("select", 0, 0.4)
        self._within("judge", 0, 0.4)


POLICIES: dict[str, type[Section]] = {
    section.section: section for section in (Trigger, Replay, Unlearn, Gate, Holdout)
}
