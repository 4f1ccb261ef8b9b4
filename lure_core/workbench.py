"""What a cycle works with, so that `cycle` can tell the story alone."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lure_core import checkpoint, evaluate, learn, parallel, precision, relearning, replay, versions
from lure_core.answers import Answers
from lure_core.config import ON_EVERYTHING, CycleConfig
from lure_core.data import Batches, Samples, collect, gather
from lure_core.errors import BadCheckpoint, BadChunkFile
from lure_core.models.cost import forward_flops
from lure_core.notes import Notes
from lure_core.parallel import World
from lure_core.replay import CycleData
from lure_core.types import (
    Checkpoint,
    CycleResult,
    Metrics,
    Progress,
    Split,
    Stage,
    Start,
)

_STAGES: tuple[Stage, ...] = ("prequential", "unlearn", "relearn", "evaluate")
_MASK, _ROWS = "unlearn.mask", "relearn.rows."
_Opened = tuple[dict[str, Tensor], dict[str, Any]]


class Workbench:
    """Data, model and optimiser of one cycle on its device, its notes and its clock."""

    def __init__(
        self,
        start: Start,
        data: CycleData,
        config: CycleConfig,
        on_stage: Callable[[Progress], None],
    ) -> None:
        self.start, self.config, self.on_stage, self.data = start, config, on_stage, data
        for samples in (*data.past, *data.new):
            _check(samples, config)
        parent = start.parent
        model = versions.fresh(config) if parent is None else versions.descend(parent, config)
        self.forward_flops = forward_flops(model, config.input)
        self.precision = precision.choose(
            config.recipe.precision,
            device=precision.device_of(config.device),
            flops=self.forward_flops,
        )
        self.learning = learn.Learning.of(self.precision.place(model), config.recipe)
        self.replayed = replay.choose(data, config.replay, seed=config.recipe.seed)
        began = time.perf_counter()
        state = None if start.resume is None else self._opened(start.resume)
        self.rows = self._rows(state)
        self.task = self._task()
        self.notes = Notes() if state is None else self._resume(*state)
        self.notes.spend("relearn", time.perf_counter() - began)
        self.notes.works_in(precision.environment(self.precision) | parallel.environment())
        self._clock: float | None = None

    @cached_property
    def digest(self) -> str:
        """Of everything the weights depend on; a resume state of another cycle is refused by it."""
        parent = self.start.parent
        facts = {
            "config": {**self.config.to_dict(), "device": None, "resident_mib": None},
            "data": [
                [(samples.name, samples.digest()) for samples in part]
                for part in (self.data.new, self.data.past)
            ],
            "parent": parent and parent.sidecar.get("weights_sha256"),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def world(self) -> World:
        """The processes that share the cycle's work."""
        return self.task.world

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

    def prequential_accuracy(self) -> float:
        """The parent's on all images of the new chunks."""
        assert self.start.parent is not None
        return self._metrics(
            versions.answers(self.start.parent, self.data.new, self.config, among=self.world)
        ).accuracy

    def to_unlearn_on(self) -> Batches:
        """Training images: the new ones, or everything that is replayed."""
        to: dict[str, Any] = {
            "normalisation": self.config.normalisation,
            "device": self.precision.device,
        }
        images = gather(self.data.new, Split.TRAIN)
        if self.config.unlearn.strategy not in ON_EVERYTHING and len(images):
            return Batches(images, **to)
        rows = self.replayed.rows(Split.TRAIN)
        return Batches(collect(self.replayed.parts, rows), **to, parts=tuple(map(len, rows)))

    def trial(self, model: nn.Module) -> tuple[float, int]:
        """Relearn a model shortly; give its hold-out loss and the FLOPs spent."""
        share = self.config.unlearn.probe_share
        return relearning.trial(model, self.task, share=share, forward_flops=self.forward_flops)

    def state(self) -> bytes:
        self._stop_clock()
        self._clock = time.perf_counter()
        notes = {"digest": self.digest, "notes": self.notes.to_dict()}
        if self.notes.stage in ("prequential", "unlearn"):  # the parent is all there is yet
            return checkpoint.pack_state({}, notes)
        tensors, progress = self.learning.dump()
        report = self.notes.unlearn
        if report is not None and report.mask is not None:
            tensors[_MASK] = torch.from_numpy(report.mask)
        if self.config.recipe.old_share < 1:  # otherwise they follow from the data
            tensors |= {f"{_ROWS}{at}": rows for at, rows in enumerate(self.rows)}
        return checkpoint.pack_state(tensors, {**notes, "learning": progress})

    def _opened(self, state: bytes) -> _Opened:
        tensors, notes = checkpoint.unpack_state(state)
        if notes.get("digest") != self.digest:
            raise BadCheckpoint("the resume state belongs to other data, settings or parent")
        return tensors, notes

    def _resume(self, tensors: dict[str, Tensor], notes: dict[str, Any]) -> Notes:
        mask = tensors.get(_MASK)
        if tensors:
            self.learning.load(tensors, notes["learning"])
        return Notes.from_dict(notes["notes"], None if mask is None else mask.numpy())

    def _rows(self, resumed: _Opened | None) -> list[Tensor]:
        """What to train on of each part: as it was chosen once, wherever that was."""
        parts = range(len(self.replayed.parts))
        if resumed and f"{_ROWS}0" in resumed[0]:
            return [resumed[0][f"{_ROWS}{at}"] for at in parts]
        model = self.learning.model
        return relearning.thin_past(self.replayed, self.config, model, precision=self.precision)

    def _task(self) -> learn.Task:
        config, parent = self.config, self.start.parent
        task = relearning.task(
            self.replayed, self.rows, config, precision=self.precision, first=parent is None
        )
        if not config.recipe.l2_init:
            return task
        origin = versions.origin_weights(versions.origin(parent, config), config)
        return replace(task, origin=origin)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self.notes.spend(self.notes.stage, time.perf_counter() - self._clock)
            self._clock = None

    def version(self) -> Checkpoint:
        extra = {
            "environment": self.notes.environment,
            "seed": self.config.seed,
            "origin": versions.origin(self.start.parent, self.config),
        }
        return checkpoint.pack(self.learning.model, self.config, extra)

    def result(
        self, version: Checkpoint, answers: Answers, parent_answers: Answers | None
    ) -> CycleResult:
        self._stop_clock()
        learning = self.learning
        return CycleResult(
            checkpoint=version,
            metrics=self._metrics(answers),
            parent_metrics=None if parent_answers is None else self._metrics(parent_answers),
            answers=answers,
            parent_answers=parent_answers,
            prequential_accuracy=self.notes.prequential_accuracy,
            unlearn=self.notes.unlearn,
            best_epoch=learning.best_epoch,
            epochs=self.task.epochs,
            trained=learning.seen,
            timings=self.notes.timings,
            images_per_s=learning.seen / learning.seconds,
            compile_s=learning.compile_seconds,
            flops=self._flops(judged=len(answers)),
            replayed={"kind": self.config.replay.kind, **self.replayed.to_dict()},
            environment=self.notes.environment,
        )

    def _metrics(self, answers: Answers) -> Metrics:
        return evaluate.metrics(answers, classes=self.config.classes)

    def _flops(self, *, judged: int) -> dict[str, int]:
        """What was computed, by purpose; see `CycleResult.flops`."""
        report, later = self.notes.unlearn, self.start.parent is not None
        forwards = {
            "relearn": 3 * self.learning.seen + self.learning.estimated_on,
            "select": self.learning.epoch * len(self.task.select),
            "subsample": relearning.scored(self.replayed, self.config) if later else 0,
            "prequential": sum(map(len, self.data.new)) if later else 0,
            "evaluate": judged * (2 if later else 1),
        }
        flops = {purpose: images * self.forward_flops for purpose, images in forwards.items()}
        return {**flops, "unlearn": report.flops if report else 0}


def _check(samples: Samples, config: CycleConfig) -> None:
    spec = config.input
    if tuple(samples.images.shape[1:]) != (spec.channels, spec.height, spec.width):
        raise BadChunkFile(f"images of shape {tuple(samples.images.shape[1:])}, not {spec}")
    known = (samples.labels >= 0) & (samples.labels < len(config.classes))
    if not bool(known.all()):
        raise BadChunkFile(f"a label lies outside the {len(config.classes)} classes")
