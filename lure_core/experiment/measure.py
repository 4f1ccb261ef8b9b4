"""What a record tells beside the cycle's own figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from lure_core import calibration, checkpoint, evaluate, masks, precision, replay, robustness
from lure_core.config import CycleConfig, Normalisation
from lure_core.data import Batches, Samples, collect, gather, rows_of, spans
from lure_core.experiment.desk import Standing
from lure_core.experiment.plan import Run
from lure_core.experiment.record import PRICED, Record
from lure_core.precision import Precision
from lure_core.replay import CycleData
from lure_core.types import Checkpoint, CycleResult, Split

GAP_IMAGES = 10_000
"""Training images, evenly spaced, that the train accuracy is taken on at most."""


@dataclass(frozen=True, eq=False)
class Told:
    """A cycle's data as they were told, and what they are.

    Attributes:
        data: With the labels that are learned and that choose the best epoch, wrong ones too.
        truth: The right labels, int64 [N], of each chunk in the order of past and new ones; what
            a version knows is measured against these.
        chunks: How many there will be.
    """

    data: CycleData
    truth: Sequence[Tensor]
    chunks: int

    @property
    def parts(self) -> list[Samples]:
        """All chunks so far with their right labels; the images are shared."""
        told = (*self.data.past, *self.data.new)
        return [replace(s, labels=labels) for s, labels in zip(told, self.truth, strict=True)]


def record(
    run: Run, result: CycleResult, told: Told, config: CycleConfig, *, before: Standing | None
) -> Record:
    """Everything there is to tell of a chunk."""
    began = time.perf_counter()
    select = [samples.of(Split.SELECT) for samples in told.parts]
    train, *earlier = accuracies(
        result.checkpoint, [_learned(told, config), *select], device=config.device
    )
    overlap = _overlap(result, before)
    flops = _summed(result.flops, before)
    seen = told.parts
    assert train is not None
    return Record(
        method=run.method,
        seed=run.seed,
        budget=run.budget,
        noise=run.noise,
        chunk=len(seen),
        chunks=told.chunks,
        accuracy=result.metrics.accuracy,
        per_class=result.metrics.per_class,
        ece=result.metrics.ece,
        test_images=result.metrics.images,
        errors=result.metrics.images - result.metrics.correct,
        images_seen=sum(len(rows_of(samples, Split.TRAIN)) for samples in seen),
        train_images=round(result.trained / result.epochs),
        trained_images=result.trained,
        steps=steps(result, config.recipe.batch_size),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        flops=flops,
        price=sum(flops.get(purpose, 0) for purpose in PRICED),
        seconds={
            **result.timings,
            **({"compile": result.compile_s} if config.recipe.compile else {}),
            "measure": time.perf_counter() - began,
        },
        prequential_accuracy=result.prequential_accuracy,
        train_accuracy=train,
        generalisation_gap=train - result.metrics.accuracy,
        earlier=earlier,
        unlearn=_report(result),
        mask_overlap=None if overlap is None else overlap.share,
        mask_chance=None if overlap is None else overlap.by_chance,
        replayed_images=result.replayed["images"],
        calibration=None,
        robustness=None,
        environment=result.environment,
    )


def with_trust(
    record: Record, version: Checkpoint, data: CycleData, *, device: str, robust: bool
) -> Record:
    """The last chunk's record with the calibration and, if wanted, the robustness of its version.

    The temperature is fitted to the labels as they were told, as one would have to.
    Corruptions and attacks are drawn from the run's seed: the same for all methods.
    """
    began = time.perf_counter()
    judge = data.judged()
    select = gather([*data.past, *data.new], Split.SELECT)
    served = model, by, chosen = _served(version, device)
    calibrated, held = None, None
    if len(select) and len(judge):
        calibrated = calibration.report(_logits(served, select), _logits(served, judge))
    if robust:
        held = robustness.report(model, by, judge, seed=record.seed, precision=chosen)
    spent = record.seconds["measure"] + time.perf_counter() - began
    seconds = {**record.seconds, "measure": spent}
    return replace(record, calibration=calibrated, robustness=held, seconds=seconds)


def accuracies(version: Checkpoint, parts: Sequence[Samples], *, device: str) -> list[float | None]:
    """A version's accuracy on each of several sets of images; None for an empty one."""
    served = _served(version, device)
    return [_accuracy(served, samples) if len(samples) else None for samples in parts]


def steps(result: CycleResult, batch_size: int) -> int:
    """Gradient steps; with pruning, as many as its epochs of mean length take."""
    return result.epochs * len(spans(round(result.trained / result.epochs), batch_size))


Served = tuple[nn.Module, Normalisation, Precision]


def _served(version: Checkpoint, device: str) -> Served:
    """A version as it will answer."""
    chosen = precision.serving(precision.device_of(device))
    model = chosen.place(checkpoint.restore(version))
    return model, checkpoint.normalisation_of(version), chosen


def _accuracy(served: Served, samples: Samples) -> float:
    output, labels = _logits(served, samples)
    return int((output.argmax(dim=1) == labels).sum()) / len(labels)


def _logits(served: Served, samples: Samples) -> tuple[Tensor, Tensor]:
    """Outputs and labels, on the CPU."""
    model, by, chosen = served
    batches = Batches(samples.to(chosen.device), by)
    return evaluate.logits(model, batches, precision=chosen).cpu(), samples.labels.cpu()


def _overlap(result: CycleResult, before: Standing | None) -> masks.Overlap | None:
    if result.unlearn is None or before is None:
        return None
    return masks.overlap(result.unlearn, before.mask)


def _learned(told: Told, config: CycleConfig) -> Samples:
    """The images it may relearn from, thinned evenly where they are many.

    With `old_share` below 1 it relearned from some of the old ones only; all of them count here.
    """
    replayed = replay.choose(told.data, config.replay, seed=config.recipe.seed)
    rows = replayed.rows(Split.TRAIN)
    every = max(1, -(-sum(map(len, rows)) // GAP_IMAGES))
    return collect(told.parts, [part[::every] for part in rows])


def _summed(flops: dict[str, int], before: Standing | None) -> dict[str, int]:
    past = before.records[-1].flops if before else {}
    return {purpose: past.get(purpose, 0) + count for purpose, count in flops.items()}


def _report(result: CycleResult) -> dict[str, Any] | None:
    """Without the seconds, which the stage's time tells, so that equal runs have equal reports."""
    if result.unlearn is None:
        return None
    values = result.unlearn.to_dict()
    del values["seconds"]
    return values
