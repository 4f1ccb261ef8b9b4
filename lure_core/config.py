"""What a cycle is told to do: frozen sections, each checked when it is built, none importing torch.

Every section takes plain JSON through `from_dict`, which refuses unknown keys, and gives it back
through `to_dict`. A `ConfigError` names the field (`recipe.epochs`) and says what it may be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lure_core.section import Section

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class InputSpec(Section):
    """The one image shape of a stream: channels (1 grey, 3 RGB), height and width in pixels."""

    section: ClassVar[str] = "input"
    channels: int
    height: int
    width: int

    def _validate(self) -> None:
        if self.channels not in (1, 3):
            self._refuse("channels", "must be 1 (grey) or 3 (RGB)")
        self._within("height", 8, 1024)
        self._within("width", 8, 1024)


@dataclass(frozen=True)
class Normalisation(Section):
    """Mean and standard deviation of each channel, on pixels scaled to 0…1."""

    section: ClassVar[str] = "normalisation"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def _validate(self) -> None:
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std):
            self._refuse("std", "must have one figure a channel, as many as mean")
        if not all(0 <= m <= 1 for m in self.mean):
            self._refuse("mean", "must lie between 0 and 1")
        if not all(0 < s <= 1 for s in self.std):
            self._refuse("std", "must lie between 0 (excluded) and 1")


@dataclass(frozen=True)
class Recipe(Section):
    """How a model is trained on what is replayed.

    `milestones` are fractions of the epochs at which "step" multiplies the learning rate by
    `gamma`; "linear" warms up for a tenth of the steps, then falls in a straight line to zero.
    `learn_epochs` is the first chunk's number of epochs, where it differs.

    Off unless asked for: `l2_init` pulls the weights towards the lineage's first initialisation
    (1e-3; arXiv 2308.11958); `ema` keeps an average of the weights and makes it the version
    (0.999); `pruning` drops this share of the samples below the mean loss and weighs the rest up
    (0.5; InfoBatch, arXiv 2303.04947); `old_share` learns from so much of the replayed past, drawn
    by chance or by the parent's loss (`old_by`); `compile` runs the model through `torch.compile`.
    """

    section: ClassVar[str] = "recipe"
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 0.1
    schedule: Literal["step", "linear"] = "step"
    milestones: tuple[float, ...] = (0.4, 0.8)
    gamma: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    augmentation: Literal["crop-flip", "crop", "none"] = "crop-flip"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0
    learn_epochs: int | None = None
    l2_init: float = 0.0
    ema: float = 0.0
    pruning: float = 0.0
    old_share: float = 1.0
    old_by: Literal["loss", "chance"] = "loss"
    compile: bool = False

    def _validate(self) -> None:
        self._within("epochs", 1, 10_000)
        if self.learn_epochs is not None:
            self._within("learn_epochs", 1, 10_000)
        self._within("batch_size", 2, 65_536)
        self._within("learning_rate", 1e-8, 100)
        self._within("gamma", 0, 1)
        self._within("momentum", 0, 0.9999)
        self._within("weight_decay", 0, 1)
        self._within("seed", 0, 2**63 - 1)
        self._within("l2_init", 0, 1)
        self._within("ema", 0, 0.999999)
        self._within("pruning", 0, 0.95)
        self._within("old_share", 0.01, 1)
        rising = list(self.milestones) == sorted(set(self.milestones))
        if not rising or not all(0 < m < 1 for m in self.milestones):
            self._refuse("milestones", "must be rising fractions between 0 and 1")


StrategyName = Literal[
    "lure",
    "lure-official",
    "warm",
    "scratch",
    "random-reset",
    "magnitude-reset",
    "shrink-perturb",
    "dash",
    "fire",
    "later-layers",
    "last-layer",
    "rescale",
    "auto",
]


ON_EVERYTHING: frozenset[StrategyName] = frozenset({"dash", "lure-official"})
"""Strategies that look at all that is replayed; the others see the new images alone.

DASH's gradients are those of all data; the published LURE draws from the front of all of them.
"""

_NO_CANDIDATES = {"auto", *ON_EVERYTHING}


@dataclass(frozen=True)
class Unlearn(Section):
    """What is forgotten before relearning.

    Of the resets (`lure`, `random-reset`, `magnitude-reset`): `fraction` is the share of the
    weights that are reset. Of `lure`: `saliency` is how gradients are summed; the subset on which
    it is taken is `subset_fraction` of the new data, at least `subset_min` images, or all if there
    are fewer. Of `shrink-perturb`: `preset` names its two factors, `shrink` and `perturb` overrule
    them. Of `dash`: `dash_alpha` weighs each new gradient, `dash_floor` is the strongest shrinking.
    Of `fire`: `scale` is what the orthogonal weights are scaled to. Of `auto`: it tries each of
    the `candidates` on a copy, relearns that for `probe_share` of the training, and keeps the best.
    """

    section: ClassVar[str] = "unlearn"
    strategy: StrategyName = "lure"
    fraction: float = 0.20
    saliency: Literal["sum", "abs_batch", "abs_sample"] = "sum"
    subset_fraction: float = 0.20
    subset_min: int = 512
    preset: Literal["ash", "lure", "dash", "interpolate"] = "ash"
    shrink: float | None = None
    perturb: float | None = None
    dash_alpha: float = 0.3
    dash_floor: float = 0.3
    scale: Literal["init-norm", "paper"] = "init-norm"
    candidates: tuple[StrategyName, ...] = ("lure", "random-reset", "fire")
    probe_share: float = 0.02

    def _validate(self) -> None:
        for share in ("fraction", "subset_fraction", "dash_alpha", "dash_floor"):
            self._within(share, 0, 1)
        self._within("subset_min", 1, 10**9)
        for factor in ("shrink", "perturb"):
            if getattr(self, factor) is not None:
                self._within(factor, 0, 1)
        self._within("probe_share", 0, 1)
        if not self.candidates or set(self.candidates) & _NO_CANDIDATES:
            words = f"must be one or more strategies, none of {', '.join(sorted(_NO_CANDIDATES))}"
            self._refuse("candidates", words)


@dataclass(frozen=True)
class Replay(Section):
    """How much of the learned past is learned again; the judge images are always all of them.

    "full": all of it. "buffer": `capacity` images of it, drawn evenly over everything
    ("reservoir") or over the classes ("class-balanced"). "one": the chunk before. "none": nothing.
    """

    section: ClassVar[str] = "replay"
    kind: Literal["full", "buffer", "one", "none"] = "full"
    capacity: int = 10_000
    keep: Literal["reservoir", "class-balanced"] = "reservoir"

    def _validate(self) -> None:
        self._within("capacity", 1, 10**9)


@dataclass(frozen=True)
class CycleConfig(Section):
    """Everything `run_cycle` needs beside the data. `seed` is this cycle's own.

    `device` and `resident_mib` say where, not what: how the weights come out does not depend on
    the latter at all. Training images of more than `resident_mib` MiB are streamed from their
    mapped files instead of lying on the device; None: when they take over half of its free memory.
    """

    section: ClassVar[str] = "cycle"
    architecture: str
    classes: tuple[str, ...]
    input: InputSpec
    normalisation: Normalisation
    recipe: Recipe
    unlearn: Unlearn
    seed: int
    device: str = "auto"
    replay: Replay = field(default_factory=Replay)
    resident_mib: int | None = None

    def _validate(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            self._refuse("classes", "must be one or more different names")
        if len(self.normalisation.mean) != self.input.channels:
            self._refuse("normalisation", f"must have {self.input.channels} channel(s)")
        self._within("seed", 0, 2**63 - 1)
        if self.resident_mib is not None:
            self._within("resident_mib", 0, 2**40)
        if not _DEVICE.fullmatch(self.device):
            self._refuse("device", "must be auto, cpu, mps, cuda or cuda:N")
