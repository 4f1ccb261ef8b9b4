"""What passes between the stages of a cycle and to its caller; plain values, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lure_core.answers import Answers

Stage = Literal["prequential", "unlearn", "relearn", "evaluate"]


class Split(IntEnum):
    """The role of an image for as long as it lives; fixed by the hash of its pixels."""

    TRAIN = 0
    """Learned from."""
    SELECT = 1
    """Chooses the best epoch; never learned from."""
    JUDGE = 2
    """Gives the reported figures and the gate's verdict; no other role."""


@dataclass(frozen=True)
class Metrics:
    """How a model did on a set of images.

    Attributes:
        accuracy: Share of right answers, 0…1; 0.0 where there were no images.
        per_class: Accuracy by class name; None for a class with no image.
        ece: Expected calibration error over 15 bins of equal width (Guo et al. 2017), 0…1.
        images: Images scored.
        correct: Images answered rightly.
    """

    accuracy: float
    per_class: dict[str, float | None]
    ece: float
    images: int
    correct: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class UnlearnReport:
    """What a strategy did to the weights.

    Attributes:
        strategy: Its name.
        counted: Weights it chose among.
        reset: Weights that got new values (the paper's k).
        layer_share: Share of each parameter that was reset, by parameter name.
        sizes: Weights that each of these parameters has, in the same order.
        threshold: Highest saliency that was reset; None where none was taken.
        ties: Weights whose saliency equalled the threshold.
        subset_images: Images that were looked at: for saliency or gradients, or else for BatchNorm.
        seconds: Wall clock.
        flops: Floating-point operations, counted analytically (2 per multiply-add).
        details: What only this strategy has to tell, as plain JSON.
        mask: Which of the counted weights were reset, in the order of `layer_share`, eight to a
            byte (`numpy.packbits`); None where the strategy picks no single weights.
    """

    strategy: str
    counted: int = 0
    reset: int = 0
    layer_share: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    threshold: float | None = None
    ties: int = 0
    subset_images: int = 0
    seconds: float = 0.0
    flops: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    mask: npt.NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """All but the mask, as plain JSON."""
        values = asdict(replace(self, mask=None))
        del values["mask"]
        return values

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], mask: npt.NDArray[np.uint8] | None = None
    ) -> UnlearnReport:
        return cls(**values, mask=mask)


@dataclass(frozen=True)
class Progress:
    """Where a cycle stands.

    Attributes:
        stage: What is being done.
        epoch: Finished epochs of "relearn"; 0 in the other stages.
        epochs: Epochs that "relearn" has in all.
        loss: Mean training loss of the epoch just finished.
        accuracy: On the select split, after the epoch just finished; None without select images.
        images_per_s: Training speed of the epoch just finished.
        state: Serialises what the cycle needs to go on from this moment, as safetensors bytes.
            Valid only until the callback returns: the weights move on afterwards.
    """

    stage: Stage
    epoch: int
    epochs: int
    loss: float | None = None
    accuracy: float | None = None
    images_per_s: float | None = None
    state: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A model at rest: safetensors bytes, and the JSON sidecar without which they mean nothing."""

    weights: bytes
    sidecar: dict[str, Any]


@dataclass(frozen=True)
class Start:
    """Where a cycle starts: the champion (None on the first chunk), and what `state()` gave."""

    parent: Checkpoint | None = None
    resume: bytes | None = None


@dataclass(frozen=True)
class CycleResult:
    """A new version and how it came about.

    Attributes:
        checkpoint: The best epoch's weights.
        metrics: Of the new version, on the judge images of all chunks.
        parent_metrics: Of the parent, on the same images; None on the first chunk.
        answers: The new version's to the judge images, of all chunks in order.
        parent_answers: The parent's to the same images; None on the first chunk.
        prequential_accuracy: The parent's on all images of the new data before any was learned.
        unlearn: None on the first chunk.
        best_epoch: The epoch kept, counted from 1.
        epochs: Epochs trained.
        trained: Images that went forward and backward, each as often as it did.
        timings: Seconds by stage, summed over interruptions.
        images_per_s: Training images a second over the relearning.
        compile_s: Of the relearning, the seconds that `torch.compile` took; 0 without it.
        flops: What was computed, by purpose: "relearn" (forward, and backward twice over),
            "unlearn" (saliency, probes, statistics), "subsample" (choosing old images by loss),
            "select" (choosing the best epoch), "prequential" and "evaluate". All but the last two
            are the price of the version.
        replayed: The replay's kind, how many past images it held and a digest that names them.
        environment: Device, threads, precision and library versions it was made with; a cycle
            resumed elsewhere lists the earlier ones that differ as "resumed_from".
    """

    checkpoint: Checkpoint
    metrics: Metrics
    parent_metrics: Metrics | None
    answers: Answers = field(repr=False, compare=False)
    parent_answers: Answers | None = field(repr=False, compare=False)
    prequential_accuracy: float | None
    unlearn: UnlearnReport | None
    best_epoch: int
    epochs: int
    trained: int
    timings: dict[str, float]
    images_per_s: float
    compile_s: float
    flops: dict[str, int]
    replayed: dict[str, Any]
    environment: dict[str, Any]


class Classifier(Protocol):
    """A loaded model that answers."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def predict(self, images_u8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities [N, K] of uint8 images [N, C, H, W]."""
        ...

    def warm_up(self) -> None:
        """Answer once, so that the first caller does not pay for lazy initialisation."""
        ...
