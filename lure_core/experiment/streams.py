"""A data set as a stream: cut into chunks, each with its hold-out, all of it fixed by a seed.

The test images are the same for every seed. A seed fixes which images come in which chunk, which
of them choose the best epoch, and which labels are wrong: the same for every method and budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lure_core.config import InputSpec
from lure_core.data import Samples, stratified
from lure_core.errors import ConfigError
from lure_core.experiment import cuts, datasets
from lure_core.experiment.datasets import Source
from lure_core.experiment.noise import wrong_labels
from lure_core.experiment.settings import DatasetName, Experiment
from lure_core.rng import derive_seed, generator
from lure_core.types import Split

_TEST_SHARE = 0.2
"""Of a data set that has no test images of its own."""


@dataclass(frozen=True, eq=False)
class ChunkStream:
    """A data set on its way to a learner.

    Attributes:
        name: Of the data set.
        classes: Their names, in the order of the labels.
        input: The shape of every image.
        chunks: What arrives, in order; each has a name of its own, and TRAIN and SELECT images.
        test: JUDGE images, none of which is in a chunk.
        truth: Of each chunk the right labels, int64 [N], where its own may be wrong.
    """

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    chunks: tuple[Samples, ...]
    test: Samples
    truth: tuple[Tensor, ...]


def open_stream(settings: Experiment, *, seed: int, noise: float) -> ChunkStream:
    """The stream of one seed, with a share of `noise` wrong labels (never among the test images).

    The last stream's images are kept: further shares and methods of one seed cost no reading.

    Raises:
        ConfigError: The data are not there, or too few for the chunks wanted.
    """
    plan = Plan.of(settings)
    source = _source(plan)
    test, chunks = _test(plan), _chunks(plan, seed)
    truth = tuple(chunk.labels for chunk in chunks)
    if noise:
        if len(source.classes) < 2:
            raise ConfigError("experiment.label_noise: one class alone has no wrong labels")
        noisy = [
            wrong_labels(
                chunk, noise, classes=len(source.classes), seed=derive_seed(seed, t, "noise")
            )
            for t, chunk in enumerate(chunks)
        ]
        chunks = tuple(noisy)
    return ChunkStream(source.name, source.classes, source.input, chunks, test, truth)


class Plan(NamedTuple):
    """The settings that a stream depends on."""

    dataset: DatasetName
    root: str | None
    side: int | None
    chunks: int | None
    chunk_size: int | None
    shots: int | None
    select: float
    test_images: int | None

    @classmethod
    def of(cls, settings: Experiment) -> Plan:
        return cls(
            settings.dataset,
            settings.data,
            settings.side,
            settings.chunks,
            settings.chunk_size,
            settings.shots,
            settings.select,
            settings.test_images,
        )


@lru_cache(maxsize=1)
def _test(plan: Plan) -> Samples:
    source, rows = _source(plan), _test_rows(plan)
    own = source.read_test is not None
    read = source.read_test if own else source.read
    labels = source.test_labels if own else source.labels
    assert read is not None
    assert labels is not None
    splits = torch.full((len(rows),), int(Split.JUDGE), dtype=torch.uint8)
    return Samples(read(rows), labels[rows], splits, name=f"{source.name}/test")


@lru_cache(maxsize=1)
def _chunks(plan: Plan, seed: int) -> tuple[Samples, ...]:
    source = _source(plan)
    wanted = cuts.Wanted(plan.chunks, plan.chunk_size, plan.shots)
    parts = _parts_to_learn(plan)
    rows = cuts.cut(source.labels, parts, wanted, seed=seed)
    return tuple(_chunk(source, plan, rows_t, seed=seed, t=t) for t, rows_t in enumerate(rows))


def _chunk(source: Source, plan: Plan, rows: Tensor, *, seed: int, t: int) -> Samples:
    labels = source.labels[rows]
    if source.splits is not None:
        splits = source.splits[rows]
    else:
        splits = torch.full((len(rows),), int(Split.TRAIN), dtype=torch.uint8)
        draws = generator(derive_seed(seed, t, "select"))
        splits[stratified(labels, round(plan.select * len(rows)), draws)] = int(Split.SELECT)
    if int((splits == int(Split.TRAIN)).sum()) < 2:
        raise ConfigError(f"chunk {t + 1} of {source.name} has fewer than 2 images to learn from")
    return Samples(source.read(rows), labels, splits, name=f"{source.name}/{seed}/{t}")


def source_of(settings: Experiment) -> Source:
    """The data set before it is cut.

    Raises:
        ConfigError: The data are not there.
    """
    return _source(Plan.of(settings))


def _source(plan: Plan) -> Source:
    return datasets.load(plan.dataset, plan.root, plan.side)


def _parts_to_learn(plan: Plan) -> Sequence[Tensor]:
    """Rows of each part the data set comes in, without those that test."""
    source = _source(plan)
    kept = torch.ones(len(source.labels), dtype=torch.bool)
    if source.read_test is None:
        kept[_test_rows(plan)] = False
    if source.splits is not None:
        kept &= source.splits != int(Split.JUDGE)
    rows = torch.split(torch.arange(len(kept)), list(source.parts or [len(kept)]))
    return [part[kept[part]] for part in rows]


def _test_rows(plan: Plan) -> Tensor:
    """Of the data set's own test images; else its JUDGE images; else drawn from all its parts."""
    source = _source(plan)
    if source.test_labels is not None:
        return _thinned(source.test_labels, torch.arange(len(source.test_labels)), plan)
    if source.splits is not None:
        judges = (source.splits == int(Split.JUDGE)).nonzero().flatten()
        return _thinned(source.labels, judges, plan)
    return _drawn(source, plan)


def _thinned(labels: Tensor, rows: Tensor, plan: Plan) -> Tensor:
    count = len(rows) if plan.test_images is None else plan.test_images
    if not 0 < count <= len(rows):
        raise ConfigError(f"experiment.test_images: there are {len(rows)} test images, not {count}")
    return rows[stratified(labels[rows], count, generator(0))]


def _drawn(source: Source, plan: Plan) -> Tensor:
    total = len(source.labels)
    count = round(_TEST_SHARE * total) if plan.test_images is None else plan.test_images
    if not 0 < count < total:
        raise ConfigError(f"experiment.test_images: {count} of {total} images cannot be set apart")
    rows = torch.split(torch.arange(total), list(source.parts or [total]))
    quotas = [len(part) * count // total for part in rows]
    for at in range(count - sum(quotas)):
        quotas[at] += 1
    draws = generator(0)
    picked = [
        part[stratified(source.labels[part], quota, draws)]
        for part, quota in zip(rows, quotas, strict=True)
    ]
    return torch.cat(picked)
