"""The closing table, as plain text for a terminal and as Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lure_core.experiment.plan import FULL, REFERENCE
from lure_core.experiment.statistics import Interval
from lure_core.experiment.summary import FIRST_COUNTED, Row

_NONE = "-"
_UNITS = ("", "k", "M", "G", "T", "P", "E")

LEGEND = (
    f"acc: mean test accuracy in % after chunks {FIRST_COUNTED}…T, over the seeds. Differences of "
    "it are paired by seed, in percentage points, with 95 % intervals (Student's t). last: test "
    "accuracy after the last chunk. CER: wrong answers summed over all chunks. FLOPs: of making "
    "all versions, overheads included. share: of what scratch at the full budget costs. s: seconds "
    "of one run."
)

_BEYOND = {
    "gap": "generalisation gap",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
    "ece": "ECE",
    "last_ece": "last ECE",
    "scaled_ece": "last ECE, temperature-scaled",
    "corrupted": "accuracy, corrupted",
    "attacked": "accuracy, PGD-20",
}


@dataclass(frozen=True)
class Column:
    """A heading, and what stands under it."""

    heading: str
    show: Callable[[Row], str]
    show_in_full: Callable[[Row], str] | None = None
    """Where there is room."""


def text(rows: Sequence[Row], *, title: str, verdict: Sequence[str] = ()) -> str:
    """For a terminal of 120 columns; the verdict's sentences stand below the tables."""
    blocks = [title]
    for heading, found in _sections(rows):
        cells = [[column.heading for column in _COLUMNS]]
        cells += [[column.show(row) for column in _COLUMNS] for row in found]
        blocks.append("\n".join([heading, *_aligned(cells)]))
    return "\n\n".join([*blocks, *map(_wrapped, [*verdict, LEGEND])]) + "\n"


def markdown(rows: Sequence[Row], *, title: str, verdict: Sequence[str] = ()) -> str:
    """For a document."""
    blocks = [f"# {title}"]
    for heading, found in _sections(rows):
        lines = _markdown([c.heading for c in _COLUMNS], [_in_full(row) for row in found])
        blocks.append(f"## {heading}\n\n" + "\n".join(lines))
    blocks.append(f"## Beyond accuracy\n\n{_beyond(rows)}")
    return "\n\n".join([*blocks, *verdict, LEGEND]) + "\n"


def _in_full(row: Row) -> list[str]:
    return [(column.show_in_full or column.show)(row) for column in _COLUMNS]


def _beyond(rows: Sequence[Row]) -> str:
    """What else is known of every method; columns of which nothing is known are left out."""
    known = [name for name in _BEYOND if any(name in row.figures for row in rows)]
    cells = [
        [
            *(row.name, row.budget, f"{row.noise:g}"),
            *(_points_with_spread(row.figures.get(name)) for name in known),
        ]
        for row in rows
    ]
    headings = ["method", "budget", "noise", *(_BEYOND[name] for name in known)]
    return "\n".join(_markdown(headings, cells))


def _markdown(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    rule = "| --- |" + " ---: |" * (len(headings) - 1)
    return [_line(headings), rule, *map(_line, cells)]


def _sections(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """One for each noise and budget; those of a short budget begin with scratch at the full one."""
    sections = []
    for (noise, budget), group in groupby(rows, key=lambda row: (row.noise, row.budget)):
        found = list(group)
        if budget != FULL:
            full = [row for row in rows if _is_reference(row, noise)]
            found = [replace(row, to_control=None) for row in full] + found
        sections.append((_heading(noise, budget, found), found))
    return sections


def _is_reference(row: Row, noise: float) -> bool:
    return (row.method, row.budget, row.noise) == (REFERENCE, FULL, noise)


def _heading(noise: float, budget: str, rows: Sequence[Row]) -> str:
    labels = f"{100 * noise:g} % wrong labels" if noise else "clean labels"
    epochs = "full budget" if budget == FULL else f"relearning for {budget} of the epochs"
    seeds = max(row.figures["anytime"].count for row in rows)
    return f"{labels}, {epochs}, {seeds} seed{'s' if seeds > 1 else ''}"


def _points(found: Interval | None) -> str:
    return _NONE if found is None else f"{100 * found.mean:.2f}"


def _points_with_spread(found: Interval | None) -> str:
    if found is None or found.half is None:
        return _points(found)
    return f"{100 * found.mean:.2f} ± {100 * found.half:.2f}"


def _difference(found: Interval | None) -> str:
    if found is None or found.half is None:
        return _NONE if found is None else f"{100 * found.mean:+.2f}"
    low, high = 100 * (found.mean - found.half), 100 * (found.mean + found.half)
    return f"{100 * found.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _short_difference(found: Interval | None) -> str:
    if found is None or found.half is None:
        return _difference(found)
    return f"{100 * found.mean:+.2f} ± {100 * found.half:.2f}"


def _count(value: float) -> str:
    """Three digits and a unit: 18.9 G."""
    place = min(len(_UNITS) - 1, max(0, math.floor(math.log10(max(value, 1)) / 3)))
    scaled = value / 1000**place
    decimals = 0 if place == 0 else 2 - math.floor(math.log10(scaled))
    return f"{scaled:.{max(0, decimals)}f} {_UNITS[place]}".rstrip()


def _share(share: float | None) -> str:
    return _NONE if share is None else f"{share:.3f}"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        name, *figures = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([name, *figures]).rstrip())
    rule = "-" * max(map(len, lines))
    return [rule, lines[0], rule, *lines[1:], rule]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _wrapped(words: str, width: int = 110) -> str:
    return textwrap.fill(words, width)


def _of(name: str, show: Callable[[Interval | None], str]) -> Callable[[Row], str]:
    return lambda row: show(row.figures.get(name))


def _mean_count(name: str) -> Callable[[Row], str]:
    return lambda row: _count(row.figures[name].mean)


_COLUMNS = (
    Column("method", lambda row: row.name),
    Column("acc", _of("anytime", _points), _of("anytime", _points_with_spread)),
    Column("vs full scratch", lambda row: _difference(row.to_reference)),
    Column(
        "vs scratch",
        lambda row: _short_difference(row.to_scratch),
        lambda row: _difference(row.to_scratch),
    ),
    Column(
        "vs random",
        lambda row: _short_difference(row.to_control),
        lambda row: _difference(row.to_control),
    ),
    Column("last", _of("last", _points), _of("last", _points_with_spread)),
    Column("CER", lambda row: f"{row.figures['cer'].mean:.0f}"),
    Column("steps", lambda row: f"{row.figures['steps'].mean:.0f}"),
    Column("FLOPs", _mean_count("price")),
    Column("share", lambda row: _share(row.price_share)),
    Column("s", lambda row: f"{row.figures['seconds'].mean:.3g}"),
)
