"""What an experiment is told to do, as a section of settings like those of a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal

from lure_core.config import Recipe, Replay, Unlearn
from lure_core.section import Section

DatasetName = Literal[
    "cifar10", "cifar100", "restricted-imagenet", "folder", "digits", "zips", "chunkfiles"
]


@dataclass(frozen=True)
class Experiment(Section):
    """All runs of one comparison: every method, seed, budget and share of wrong labels.

    A run is one method from one seed over all chunks. Runs of one seed are paired: the same
    chunks in the same order, the same wrong labels, the same first initialisation.

    Attributes:
        data: The data set's folder; None for digits, which travel with the package.
        chunks: How many the training images are cut into; None: 8, or the zips or chunk files
            as they are.
        chunk_size: Images a chunk; None: as many as there are, evenly.
        test_images: Images that test; None: the data set's own test set, or a fifth of a data set
            that has none. They are the same for every seed.
        select: Share of each chunk that chooses the best epoch and is not learned from.
        shots: Images a class and chunk in the few-shot setting, those that select among them.
        side: Images are scaled and cropped to it, in pixels; None: the data set's own.
        methods: Strategies, with a preset after a colon ("shrink-perturb:dash", "fire:paper"),
            named recipes ("frugal"), or names that `custom` explains.
        budgets: Shares of `recipe.epochs` spent on relearning, as fractions ("1/5"); the first
            chunk is always learned in full.
        label_noise: Shares of wrong labels among the training and select images.
        custom: Methods of one's own by name: {"unlearn": {…}, "recipe": {…}, "replay": {…}},
            each overruling the sections below.
        controls: Whether `scratch` and `random-reset` run at every budget though nobody asked,
            and `scratch` at the full one: what the comparison means is measured against them.
        out: Folder for records, table and plots; a run that is finished there is not run again.
        robustness: Whether the last version also meets corrupted and adversarial images.
        resident_mib: Training images that take more stay off the device and are streamed to it;
            None: when they take over half of its free memory.
        jobs: Runs worked on at the same time, each by a process of its own.
        threads: Of torch, for each of them; None: the processors shared out, or with one job as
            many as torch takes by itself.
        save_every_s: Seconds of work that a kill may cost; after every chunk it is kept anyway.
    """

    section: ClassVar[str] = "experiment"
    dataset: DatasetName = "digits"
    data: str | None = None
    architecture: str = "resnet18"
    chunks: int | None = None
    chunk_size: int | None = None
    select: float = 0.1
    shots: int | None = None
    side: int | None = None
    test_images: int | None = None
    methods: tuple[str, ...] = ("scratch", "warm", "lure", "random-reset")
    seeds: tuple[int, ...] = (0,)
    budgets: tuple[str, ...] = ("1",)
    label_noise: tuple[float, ...] = (0.0,)
    recipe: Recipe = field(default_factory=Recipe)
    unlearn: Unlearn = field(default_factory=Unlearn)
    replay: Replay = field(default_factory=Replay)
    custom: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    out: str = "lure-experiment"
    controls: bool = True
    robustness: bool = False
    resident_mib: int | None = None
    jobs: int = 1
    threads: int | None = None
    save_every_s: float = 60.0
    tensorboard: bool = False
    wandb: bool = False

    def _validate(self) -> None:
        self._validate_data()
        self._validate_work()
        for several in ("methods", "seeds", "budgets", "label_noise"):
            values = getattr(self, several)
            if not values or len(set(values)) != len(values):
                self._refuse(several, "must be one or more different ones")
        if not all(0 <= seed < 2**31 for seed in self.seeds):
            self._refuse("seeds", "must lie between 0 and 2147483647")
        if not all(0 <= share < 1 for share in self.label_noise):
            self._refuse("label_noise", "must be shares from 0 up to, not including, 1")
        if not all(map(_is_budget, self.budgets)):
            self._refuse("budgets", 'must be fractions such as "1" or "1/5"')

    def _validate_work(self) -> None:
        self._within("jobs", 1, 1024)
        if self.threads is not None:
            self._within("threads", 1, 1024)
        if self.resident_mib is not None:
            self._within("resident_mib", 0, 2**40)
        self._within("save_every_s", 0, 86_400)

    def _validate_data(self) -> None:
        for count in ("chunks", "chunk_size", "shots", "test_images"):
            if getattr(self, count) is not None:
                self._within(count, 1, 10**9)
        if self.side is not None:
            self._within("side", 8, 1024)
        self._within("select", 0, 0.5)
        if self.shots is not None and self.chunk_size is not None:
            self._refuse("chunk_size", "cannot be given with shots, which fix it")


def _is_budget(text: str) -> bool:
    try:
        return 0 < Fraction(text) <= 10
    except (ValueError, ZeroDivisionError):
        return False
