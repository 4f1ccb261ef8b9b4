"""What figures show: the records by panel, and curves over the chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lure_core.experiment.looks import Look
from lure_core.experiment.record import Record
from lure_core.experiment.statistics import Interval, interval
from lure_core.experiment.summary import Row

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


def curve(axis: Any, points: Mapping[int, Interval], look: Look) -> None:
    x = list(points)
    y = [found.mean for found in points.values()]
    half = [found.half or 0.0 for found in points.values()]
    low, high = ([m + sign * h for m, h in zip(y, half, strict=True)] for sign in (-1, 1))
    axis.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    axis.plot(x, y, color=look.colour, marker=look.marker, linestyle=look.line)
