"""What a cycle works with, so that `cycle` can tell the story alone."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

from lure_core import checkpoint, evaluate, learn, models, precision
from lure_core.config import CycleConfig
from lure_core.data import Batches, Samples, gather
from lure_core.errors import BadCheckpoint, BadChunkFile
from lure_core.feed import open_feed
from lure_core.models.cost import forward_flops
from lure_core.replay import CycleData
from lure_core.rng import derive_seed
from lure_core.types import (
    Checkpoint,
    CycleResult,
    Metrics,
    Progress,
    Split,
    Stage,
    Start,
    UnlearnReport,
)

_STAGES: tuple[Stage, ...] = ("prequential", "unlearn", "relearn", "evaluate")


@dataclass
class Notes:
    """What is known so far; travels in the resume state beside the tensors."""

    stage: Stage = "prequential"
    prequential_accuracy: float | None = None
    unlearn: UnlearnReport | None = None
    timings: dict[str, float] = field(default_factory=dict)
    environments: list[dict[str, Any]] = field(default_factory=list)
    """Where it was worked on, in turn; a new entry only where something differs from the last."""

    def works_in(self, environment: dict[str, Any]) -> None:
        if self.environments[-1:] != [environment]:
            self.environments.append(environment)

    @property
    def environment(self) -> dict[str, Any]:
        """The last one; with those before it that differ, each once, under "resumed_from"."""
        last = self.environments[-1]
        earlier: list[dict[str, Any]] = []
        for environment in self.environments:
            if environment not in [last, *earlier]:
                earlier.append(environment)
        return last | ({"resumed_from": earlier} if earlier else {})

    def to_dict(self) -> dict[str, Any]:
        report = self.unlearn and self.unlearn.to_dict()
        return {**vars(self), "unlearn": report}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Notes:
        report = values.pop("unlearn")
        return cls(**values, unlearn=report and UnlearnReport.from_dict(report))


class Workbench:
    """Data, model and optimiser of one cycle on its device, its notes and its clock."""

    def __init__(
        self,
        start: Start,
        data: CycleData,
        config: CycleConfig,
        on_stage: Callable[[Progress], None],
    ) -> None:
        self.start, self.config, self.on_stage = start, config, on_stage
        for samples in (*data.past, *data.new):
            _check(samples, config)
        self.data = data
        device = precision.device_of(config.device)
        model = fresh_model(config) if start.parent is None else _restored(start.parent, config)
        self.flops = forward_flops(model, config.input)
        self.precision = precision.choose(config.recipe.precision, device=device, flops=self.flops)
        self.learning = learn.Learning.of(self.precision.place(model), config.recipe)
        self.task = _task(self.data, config, self.precision, first=start.parent is None)
        self.notes = Notes() if start.resume is None else self._resume(start.resume)
        self.notes.works_in(precision.environment(self.precision))
        self._clock: float | None = None

    @cached_property
    def digest(self) -> str:
        """Of everything the weights depend on; a resume state of another cycle is refused by it."""
        parent = self.start.parent
        facts = {
            "config": {**self.config.to_dict(), "device": None, "resident_mib": None},
            "data": [[s.digest() for s in part] for part in (self.data.new, self.data.past)],
            "parent": parent and parent.sidecar.get("weights_sha256"),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def enters(self, stage: Stage) -> bool:
        """Whether the stage is to be done; if so it begins, and whoever listens is told."""
        of_parent = stage in ("prequential", "unlearn")
        done = _STAGES.index(stage) < _STAGES.index(self.notes.stage)
        if done or (of_parent and self.start.parent is None):
            return False
        self._stop_clock()
        self.notes.stage = stage
        self._clock = time.perf_counter()
        epoch = self.learning.epoch if stage == "relearn" else 0
        self.on_stage(Progress(stage, epoch, self.task.epochs, state=self.state))
        return True

    def tell(self, epoch: learn.Epoch) -> None:
        done, of = self.learning.epoch, self.task.epochs
        self.on_stage(Progress("relearn", done, of, **asdict(epoch), state=self.state))

    def of_new(self, split: Split | None = None) -> Samples:
        """The new images (of one role, if given), on the cycle's device."""
        return gather(self.data.new, split).to(self.precision.device)

    def score_parent_on_new(self) -> Metrics:
        assert self.start.parent is not None
        return score_version(self.start.parent, self.of_new(), self.config)

    def state(self) -> bytes:
        self._stop_clock()
        self._clock = time.perf_counter()
        notes = {"digest": self.digest, "notes": self.notes.to_dict()}
        if self.notes.stage in ("prequential", "unlearn"):  # the parent is all there is yet
            return checkpoint.pack_state({}, notes)
        tensors, progress = self.learning.dump()
        return checkpoint.pack_state(tensors, {**notes, "learning": progress})

    def _resume(self, state: bytes) -> Notes:
        tensors, notes = checkpoint.unpack_state(state)
        if notes.get("digest") != self.digest:
            raise BadCheckpoint("the resume state belongs to other data, settings or parent")
        if tensors:
            self.learning.load(tensors, notes["learning"])
        return Notes.from_dict(notes["notes"])

    def _stop_clock(self) -> None:
        if self._clock is not None:
            spent = self.notes.timings.get(self.notes.stage, 0.0)
            self.notes.timings[self.notes.stage] = spent + time.perf_counter() - self._clock
            self._clock = None

    def version(self) -> Checkpoint:
        extra = {"environment": self.notes.environment, "seed": self.config.seed}
        return checkpoint.pack(self.learning.model, self.config, extra)

    def result(
        self, version: Checkpoint, metrics: Metrics, parent_metrics: Metrics | None
    ) -> CycleResult:
        self._stop_clock()
        learning, task = self.learning, self.task
        flops = {"relearn": 3 * learning.seen * self.flops}
        if self.notes.unlearn:
            flops["unlearn"] = self.notes.unlearn.flops
        return CycleResult(
            checkpoint=version,
            metrics=metrics,
            parent_metrics=parent_metrics,
            prequential_accuracy=self.notes.prequential_accuracy,
            unlearn=self.notes.unlearn,
            best_epoch=learning.best_epoch,
            epochs=task.epochs,
            timings=self.notes.timings,
            images_per_s=learning.seen / learning.seconds,
            flops=flops,
            environment=self.notes.environment,
        )


def fresh_model(config: CycleConfig) -> nn.Module:
    return models.build(
        config.architecture, classes=len(config.classes), input=config.input, seed=config.seed
    )


def score_version(version: Checkpoint, samples: Samples, config: CycleConfig) -> Metrics:
    """Score a finished version as it will be served: its own normalisation, fp32, plain order.

    Not in the precision of training: bf16 answers otherwise on close calls, and the gate would
    pass or fail a model that nobody is going to meet. (The best epoch is chosen in the precision
    of training: it compares a cycle with itself, and is taken after every epoch.)
    """
    model = _restored(version, config)
    chosen = precision.serving(precision.device_of(config.device))
    return evaluate.score(
        chosen.place(model),
        Batches(samples.to(chosen.device), checkpoint.normalisation_of(version)),
        classes=config.classes,
        precision=chosen,
    )


def _task(
    data: CycleData, config: CycleConfig, chosen: precision.Precision, *, first: bool
) -> learn.Task:
    recipe = config.recipe
    parts = [*data.past, *data.new]
    rows = [(part.splits == int(Split.TRAIN)).nonzero().flatten() for part in parts]
    if not any(len(of_part) for of_part in rows):
        raise BadChunkFile("no training image among the data: nothing to learn from")
    return learn.Task(
        train=open_feed(parts, rows, device=chosen.device, resident_mib=config.resident_mib),
        select=data.replayed(Split.SELECT).to(chosen.device),
        normalisation=config.normalisation,
        recipe=recipe,
        epochs=recipe.learn_epochs if first and recipe.learn_epochs else recipe.epochs,
        seed=derive_seed(config.seed, 0, "relearn"),
        precision=chosen,
    )


def _restored(parent: Checkpoint, config: CycleConfig) -> nn.Module:
    told = {
        "architecture": config.architecture,
        "classes": list(config.classes),
        "input": config.input.to_dict(),
    }
    for name, value in told.items():
        if parent.sidecar.get(name) != value:
            found = parent.sidecar.get(name)
            raise BadCheckpoint(f"the version's {name} is {found!r}, not {value!r}")
    return checkpoint.restore(parent)


def _check(samples: Samples, config: CycleConfig) -> None:
    spec = config.input
    if tuple(samples.images.shape[1:]) != (spec.channels, spec.height, spec.width):
        raise BadChunkFile(f"images of shape {tuple(samples.images.shape[1:])}, not {spec}")
    known = (samples.labels >= 0) & (samples.labels < len(config.classes))
    if not bool(known.all()):
        raise BadChunkFile(f"a label lies outside the {len(config.classes)} classes")
