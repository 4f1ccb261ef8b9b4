"""One run: a lineage of versions, one after each chunk of the stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lure_core.config import CycleConfig, Recipe, Replay, Unlearn
from lure_core.cycle import run_cycle
from lure_core.data import Samples, gather, normalisation
from lure_core.errors import BadCheckpoint
from lure_core.experiment import measure, methods
from lure_core.experiment.desk import Desk, Standing
from lure_core.experiment.folder import WORK
from lure_core.experiment.methods import Method
from lure_core.experiment.plan import Run
from lure_core.experiment.record import Record
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import ChunkStream, open_stream
from lure_core.replay import CycleData
from lure_core.rng import derive_seed
from lure_core.types import CycleResult, Start


@dataclass(frozen=True)
class First:
    """The first chunk of a run, which all runs that begin alike share."""

    run: Run


def work(task: Run | First, settings: Experiment, folder: Path) -> Iterator[Record]:
    """Do a task from where it was left; of a run give the records of all its chunks."""
    if isinstance(task, Run):
        yield from _follow(task, settings, folder)
    else:
        stream = open_stream(settings, seed=task.run.seed, noise=task.run.noise)
        _shared_first(task.run, settings, folder, stream)


def first_name(run: Run, settings: Experiment) -> str:
    """The same for all runs that begin alike, so that they can share their first chunk."""
    recipe = json.dumps(_first_recipe(methods.resolve(run.method, settings)).to_dict())
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return f"first_seed{run.seed}_noise{run.noise}_{digest}"


def tidy(run: Run, settings: Experiment, folder: Path) -> None:
    """A finished run needs its files no longer."""
    _desk(run.id, settings, folder).clear()


def tidy_first(run: Run, settings: Experiment, folder: Path) -> None:
    """When no run is left that begins as this one, nobody needs its first chunk."""
    _desk(first_name(run, settings), settings, folder).clear()


def _follow(run: Run, settings: Experiment, folder: Path) -> Iterator[Record]:
    stream = open_stream(settings, seed=run.seed, noise=run.noise)
    desk = _desk(run.id, settings, folder)
    standing = desk.standing() or _shared_first(run, settings, folder, stream)
    yield from standing.records
    while not standing.records[-1].last:
        standing = _next(run, settings, stream, desk=desk, standing=standing)
        desk.keep(standing)
        yield standing.records[-1]


def _shared_first(run: Run, settings: Experiment, folder: Path, stream: ChunkStream) -> Standing:
    desk = _desk(first_name(run, settings), settings, folder)
    standing = desk.standing()
    if standing is None:
        standing = _next(run, settings, stream, desk=desk, standing=None)
        desk.keep(standing)
    told = (replace(r, method=run.method, budget=run.budget) for r in standing.records)
    return replace(standing, records=tuple(told))


def _next(
    run: Run, settings: Experiment, stream: ChunkStream, *, desk: Desk, standing: Standing | None
) -> Standing:
    """Learn the chunk after those of `standing`."""
    chunk = len(standing.records) + 1 if standing else 1
    data = _data(stream, chunk)
    config = _config(run, settings, stream, chunk)
    result = _resumed(data, config, desk=desk, standing=standing)
    told = measure.Told(data, _truth(stream, chunk), len(stream.chunks))
    record = measure.record(run, result, told, config, before=standing)
    if record.last:
        robust = settings.robustness
        version = result.checkpoint
        record = measure.with_trust(record, version, data, device=config.device, robust=robust)
    records = (*(standing.records if standing else ()), record)
    return Standing(result.checkpoint, records, result.unlearn.mask if result.unlearn else None)


def _resumed(
    data: CycleData, config: CycleConfig, *, desk: Desk, standing: Standing | None
) -> CycleResult:
    chunk = len(data.past) + 1
    parent, listen = standing.version if standing else None, desk.listener(chunk)
    half = desk.half_done(chunk)
    if half is not None:
        try:
            return run_cycle(Start(parent, half), data, config, listen)
        except BadCheckpoint:  # of other code or settings, or torn: nothing is lost but time
            desk.drop_half(chunk)
    return run_cycle(Start(parent), data, config, listen)


def _data(stream: ChunkStream, chunk: int) -> CycleData:
    """The chunks up to this one; the first brings the test images along."""
    first, *rest = stream.chunks[:chunk]
    chunks = [_with_test(first, stream.test), *rest]
    return CycleData(chunks[-1:], chunks[:-1])


def _truth(stream: ChunkStream, chunk: int) -> list[Tensor]:
    """The right labels of what `_data` gives, chunk by chunk."""
    first, *rest = stream.truth[:chunk]
    return [torch.cat([first, stream.test.labels]), *rest]


def _with_test(chunk: Samples, test: Samples) -> Samples:
    return replace(gather([chunk, test]), name=chunk.name)


def _config(run: Run, settings: Experiment, stream: ChunkStream, chunk: int) -> CycleConfig:
    method = methods.resolve(run.method, settings)
    first = chunk == 1
    recipe = _first_recipe(method) if first else method.recipe_at(run.budget)
    return CycleConfig(
        architecture=settings.architecture,
        classes=stream.classes,
        input=stream.input,
        normalisation=normalisation(stream.chunks[0]),
        recipe=replace(recipe, seed=run.seed),
        unlearn=Unlearn() if first else method.unlearn,
        seed=derive_seed(run.seed, chunk),
        device=settings.device,
        replay=Replay() if first else method.replay,
        resident_mib=settings.resident_mib,
    )


def _first_recipe(method: Method) -> Recipe:
    """Without what tells only on later chunks, so that methods that begin alike have it alike."""
    epochs = method.recipe.learn_epochs
    assert epochs is not None
    return replace(method.recipe, epochs=epochs, old_share=1.0, old_by="loss")


def _desk(name: str, settings: Experiment, folder: Path) -> Desk:
    return Desk(folder / WORK, name, save_every_s=settings.save_every_s)
