"""A stream's policies, each a section of settings like those of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from lure_core.config import Replay, StrategyName, Unlearn
from lure_core.section import Section

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Trigger(Section):
    """When a cycle begins: with the next chunk, which takes up to `max_chunks` that wait."""

    section: ClassVar[str] = "trigger"
    max_chunks: int = 1

    def _validate(self) -> None:
        self._within("max_chunks", 1, 1000)


@dataclass(frozen=True)
class Gate(Section):
    """What a candidate must show before it is served in the champion's place.

    Both are scored on the same judge images, so each rule compares pair by pair. `tolerance` is the
    accuracy that may be lost overall, and `confidence` that of the one-sided interval of the loss:
    one that lies within the tolerance proves it, a loss seen beyond the tolerance that cannot be
    chance refuses; in between, where the images are too few to tell, `unproven` decides.
    `per_class` and `per_chunk` are the losses tolerated in each class and on each earlier chunk of
    at least `min_slice` judge images, `ece` how much the calibration error may grow; they refuse
    likewise, and null switches a rule off. With fewer than `min_judge` images nothing is judged.
    Mode "manual" lets a person promote. What the rules compute stands in `docs/gate.md`.
    """

    section: ClassVar[str] = "gate"
    mode: Literal["auto", "manual"] = "auto"
    tolerance: float = 0.02
    confidence: float = 0.95
    unproven: Literal["promote", "refuse"] = "promote"
    per_class: float | None = 0.1
    per_chunk: float | None = 0.1
    ece: float | None = 0.1
    min_judge: int = 50
    min_slice: int = 20

    def _validate(self) -> None:
        for share in ("tolerance", "per_class", "per_chunk", "ece"):
            if getattr(self, share) is not None:
                self._within(share, 0, 1)
        self._within("confidence", 0.5, 0.9999)
        self._within("min_judge", 0, 10**9)
        self._within("min_slice", 2, 10**9)


@dataclass(frozen=True)
class Holdout(Section):
    """Shares of the images that are not trained on."""

    section: ClassVar[str] = "holdout"
    select: float = 0.05
    judge: float = 0.05

    def _validate(self) -> None:
        self._within("select", 0, 0.4)
        self._within("judge", 0, 0.4)


@dataclass(frozen=True)
class Feedback(Section):
    """Labels that come after the prediction, and the images that they belong to.

    The images of predictions are kept for `keep_s` seconds within `max_bytes` of the stream, the
    oldest go first. Those that got a label become a chunk when they are `close_images`, or when the
    first of them is `close_s` seconds old. Not `enabled`: nothing of a prediction is kept.
    """

    section: ClassVar[str] = "feedback"
    enabled: bool = True
    keep_s: int = 7 * 86_400
    max_bytes: int = 1 << 30
    close_images: int = 500
    close_s: int = 3600

    def _validate(self) -> None:
        self._within("keep_s", 1, 366 * 86_400)
        self._within("max_bytes", 0, 2**50)
        self._within("close_images", 1, 100_000)
        self._within("close_s", 1, 366 * 86_400)


@dataclass(frozen=True)
class Counterfactual(Section):
    """Every how many versions the cycle is run again by each of `methods`, to compare; 0: never."""

    section: ClassVar[str] = "counterfactual"
    every: int = 0
    methods: tuple[StrategyName, ...] = ("warm", "scratch")

    def _validate(self) -> None:
        self._within("every", 0, 10**9)
        if not self.methods or len(set(self.methods)) != len(self.methods):
            self._refuse("methods", "must be one or more different strategies")


@dataclass(frozen=True)
class Retention(Section):
    """How many versions keep their weights, the youngest; null: all. The records always stay.

    The champion's, previous's and candidate's are kept beside, and those of any other alias.
    """

    section: ClassVar[str] = "retention"
    versions: int | None = None

    def _validate(self) -> None:
        if self.versions is not None:
            self._within("versions", 1, 10**9)


@dataclass(frozen=True)
class Quota(Section):
    """How many bytes a stream may take; null: as many as there is room for.

    All counts that its rows name: uploads, chunk files, weights and records of versions, exports,
    predictions that are kept, and what a cycle would go on from. Beyond it uploads are refused.
    """

    section: ClassVar[str] = "quota"
    max_bytes: int | None = None

    def _validate(self) -> None:
        if self.max_bytes is not None:
            self._within("max_bytes", 0, 2**60)


POLICIES: dict[str, type[Section]] = {
    section.section: section
    for section in (
        Trigger,
        Replay,
        Unlearn,
        Gate,
        Holdout,
        Feedback,
        Counterfactual,
        Retention,
        Quota,
    )
}


def policy(section: type[S], policies: Mapping[str, Any]) -> S:
    """One of a stream's policies; one that was made before a member existed has its default."""
    return section.from_dict(policies.get(section.section, {}))
