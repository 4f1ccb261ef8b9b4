"""What a reader needs to do an experiment again, and what it forgot, chunk by chunk."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from lure_core import anytime
from lure_core.experiment.record import Record
from lure_core.experiment.settings import Experiment
from lure_core.experiment.statistics import interval

_OF_THIS_MACHINE = ("data", "out", "jobs", "threads", "save_every_s", "tensorboard", "wandb")


def facts(settings: Experiment, records: Sequence[Record]) -> dict[str, Any]:
    """Settings, where the records were made, and the day of the summary."""
    told = {k: v for k, v in settings.to_dict().items() if k not in _OF_THIS_MACHINE}
    places = {json.dumps(record.environment, sort_keys=True) for record in records}
    return {
        "settings": told,
        "environments": [json.loads(place) for place in sorted(places)],
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def lines(known: dict[str, Any]) -> list[str]:
    """The same as a block of Markdown."""
    return ["## Settings and machine", f"```json\n{json.dumps(known, indent=1)}\n```"]


def per_chunk(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Forgetting and backward transfer of every earlier chunk, for each method, budget and noise.

    Each a list by chunk of intervals over the seeds; None where there is nothing to tell.
    """

    def group(record: Record) -> tuple[str, str, float]:
        return record.method, record.budget, record.noise

    told = []
    for (method, budget, noise), found in groupby(sorted(records, key=group), key=group):
        matrices = _matrices(list(found))
        told.append(
            {
                **{"method": method, "budget": budget, "noise": noise},
                "forgetting": _by_chunk(matrices, anytime.forgetting),
                "backward_transfer": _by_chunk(matrices, anytime.backward_transfer),
            }
        )
    return told


Matrix = list[list[float | None]]


def _matrices(records: Sequence[Record]) -> list[Matrix]:
    """For each seed, the accuracy after every chunk on each chunk so far."""
    seeds = sorted({record.seed for record in records})
    ordered = sorted(records, key=lambda record: record.chunk)
    return [[record.earlier for record in ordered if record.seed == seed] for seed in seeds]


def _by_chunk(
    matrices: Sequence[Matrix], figure: Callable[[Matrix], anytime.Change]
) -> list[dict[str, Any] | None]:
    changes = [figure(matrix).per_chunk for matrix in matrices]
    means = (interval([c for c in chunk if c is not None]) for chunk in zip(*changes, strict=True))
    return [None if mean is None else mean.to_dict() for mean in means]
