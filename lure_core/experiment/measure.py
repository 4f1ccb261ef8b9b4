"""What a record tells beside the cycle's own figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lure_core import calibration, checkpoint, evaluate, precision, replay, robustness
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


def record(
    run: Run,
    result: CycleResult,
    data: CycleData,
    config: CycleConfig,
    *,
    chunks: int,
    before: Standing | None,
) -> Record:
    """Everything there is to tell of a chunk."""
    began = time.perf_counter()
    train, *earlier = accuracies(
        result.checkpoint, [_learned(data, config), *_select(data)], device=config.device
    )
    overlap, chance = overlap_of(result, before)
    flops = _summed(result.flops, before)
    seen = (*data.past, *data.new)
    assert train is not None
    return Record(
        method=run.method,
        seed=run.seed,
        budget=run.budget,
        noise=run.noise,
        chunk=len(seen),
        chunks=chunks,
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
        seconds={**result.timings, "measure": time.perf_counter() - began},
        prequential_accuracy=result.prequential_accuracy,
        train_accuracy=train,
        generalisation_gap=train - result.metrics.accuracy,
        earlier=earlier,
        unlearn=_report(result),
        mask_overlap=overlap,
        mask_chance=chance,
        replayed_images=result.replayed["images"],
        calibration=None,
        robustness=None,
        environment=result.environment,
    )


def with_trust(
    record: Record, version: Checkpoint, data: CycleData, *, device: str, robust: bool
) -> Record:
    """The last chunk's record with the calibration and, if wanted, the robustness of its version.

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


def overlap_of(result: CycleResult, before: Standing | None) -> tuple[float | None, float | None]:
    """See `Record.mask_overlap` and `Record.mask_chance`."""
    report = result.unlearn
    if report is None or report.mask is None or before is None or before.mask is None:
        return None, None
    if len(report.mask) != len(before.mask) or not report.reset:
        return None, None
    return overlap(report.mask, before.mask, report.counted)


def overlap(
    now: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8], counted: int
) -> tuple[float, float]:
    """Share of the bits of `now` that are set in `before` too, and the share by chance."""
    both, ours, theirs = (int(np.unpackbits(bits).sum()) for bits in (now & before, now, before))
    return both / ours, theirs / counted


Served = tuple[nn.Module, Normalisation, Precision]


def _served(version: Checkpoint, device: str) -> Served:
    """A version as it will answer."""
    chosen = precision.serving(precision.device_of(device))
    model = chosen.place(checkpoint.restore(version))
    return model, checkpoint.normalisation_of(version), chosen


def _probabilities(served: Served, samples: Samples) -> tuple[Tensor, Tensor]:
    """Of each class, and the labels, on the CPU."""
    model, by, chosen = served
    batches = Batches(samples.to(chosen.device), by)
    return evaluate.probabilities(model, batches, precision=chosen).cpu(), samples.labels.cpu()


def _accuracy(served: Served, samples: Samples) -> float:
    output, labels = _probabilities(served, samples)
    return int((output.argmax(dim=1) == labels).sum()) / len(labels)


def _logits(served: Served, samples: Samples) -> tuple[Tensor, Tensor]:
    """Logarithms of probabilities: logits but for a constant, which no temperature sees."""
    output, labels = _probabilities(served, samples)
    return output.clamp_min(torch.finfo(output.dtype).tiny).log(), labels


def _learned(data: CycleData, config: CycleConfig) -> Samples:
    """The images relearned from, thinned evenly where they are many."""
    replayed = replay.choose(data, config.replay, seed=config.recipe.seed)
    rows = replayed.rows(Split.TRAIN)
    every = max(1, -(-sum(map(len, rows)) // GAP_IMAGES))
    return collect(replayed.parts, [part[::every] for part in rows])


def _select(data: CycleData) -> list[Samples]:
    return [samples.of(Split.SELECT) for samples in (*data.past, *data.new)]


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
