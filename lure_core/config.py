"""What a cycle is told to do: frozen sections, each checked when it is built, none importing torch.

Every section takes plain JSON through `from_dict`, which refuses unknown keys, and gives it back
through `to_dict`. A `ConfigError` names the field (`recipe.epochs`) and says what it may be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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
        rising = list(self.milestones) == sorted(set(self.milestones))
        if not rising or not all(0 < m < 1 for m in self.milestones):
            self._refuse("milestones", "must be rising fractions between 0 and 1")


@dataclass(frozen=True)
class Unlearn(Section):
    """What is forgotten before relearning.

    `fraction` is the share of the weights reset; the subset on which their saliency is taken is
    `subset_fraction` of the new data, at least `subset_min` images, or all if there are fewer.
    """

    section: ClassVar[str] = "unlearn"
    strategy: Literal["lure", "lure-official", "warm", "scratch"] = "lure"
    fraction: float = 0.20
    saliency: Literal["sum", "abs_batch", "abs_sample"] = "sum"
    subset_fraction: float = 0.20
    subset_min: int = 512

    def _validate(self) -> None:
        self._within("fraction", 0, 1)
        self._within("subset_fraction", 0, 1)
        self._within("subset_min", 1, 10**9)


@dataclass(frozen=True)
class CycleConfig(Section):
    """Everything `run_cycle` needs beside the data. `seed` is this cycle's own."""

    section: ClassVar[str] = "cycle"
    architecture: str
    classes: tuple[str, ...]
    input: InputSpec
    normalisation: Normalisation
    recipe: Recipe
    unlearn: Unlearn
    seed: int
    device: str = "auto"

    def _validate(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            self._refuse("classes", "must be one or more different names")
        if len(self.normalisation.mean) != self.input.channels:
            self._refuse("normalisation", f"must have {self.input.channels} channel(s)")
        self._within("seed", 0, 2**63 - 1)
        if not _DEVICE.fullmatch(self.device):
            self._refuse("device", "must be auto, cpu, mps, cuda or cuda:N")
