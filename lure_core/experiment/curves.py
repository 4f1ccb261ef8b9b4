"""What figures show: the records by panel, and curves over the chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lure_core.experiment.looks import Look
from lure_core.experiment.record import Record
from lure_core.experiment.statistics import Interval, interval
from lure_core.experiment.summary import Row

_DODGE = 0.05
"""Of a chunk, between two methods."""

Panel = tuple[float, str]
"""Noise and budget."""


@dataclass(frozen=True)
class Found:
    """What there is to show."""

    title: str
    rows: Sequence[Row]
    panels: Mapping[Panel, Mapping[str, Sequence[Record]]]
    """By noise and budget, in it by method, the records of all seeds."""
    look: Mapping[str, Look]


def chunks_of(by_method: Mapping[str, Sequence[Record]]) -> list[int]:
    return sorted({record.chunk for records in by_method.values() for record in records})


def by_chunk(
    records: Sequence[Record], figure: Callable[[Record], float | None]
) -> dict[int, Interval]:
    values: dict[int, list[float]] = {}
    for record in records:
        value = figure(record)
        if value is not None:
            values.setdefault(record.chunk, []).append(value)
    found = {chunk: interval(values[chunk]) for chunk in sorted(values)}
    return {chunk: mean for chunk, mean in found.items() if mean}


def curves(
    axis: Any, found: Mapping[str, Mapping[int, Interval]], look: Mapping[str, Look]
) -> None:
    """A line for each method over the chunks; its intervals stand beside those of the others."""
    for place, (method, points) in enumerate(found.items()):
        shift = _DODGE * (place - (len(found) - 1) / 2)
        x = [chunk + shift for chunk in points]
        y = [at.mean for at in points.values()]
        style = look[method]
        axis.errorbar(
            x,
            y,
            yerr=[at.half or 0.0 for at in points.values()],
            color=style.colour,
            elinewidth=0.6,
            capsize=0,
            linestyle="",
            alpha=0.6,
        )
        axis.plot(x, y, color=style.colour, marker=style.marker, linestyle=style.line)
