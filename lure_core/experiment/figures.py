"""Each figure of an experiment; all take figures of finished runs, and need matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Any

from lure_core.experiment.looks import Look, grid, legend, panel_name, whole_numbers
from lure_core.experiment.plan import FULL
from lure_core.experiment.record import Record
from lure_core.experiment.statistics import Interval, interval
from lure_core.experiment.summary import FIRST_COUNTED, Row

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


def accuracy(found: Found) -> Any:
    """Test accuracy after each chunk, with its interval."""
    figure, axes = grid(len(found.panels), f"{found.title}: test accuracy after each chunk")
    for axis, (panel, by_method) in zip(axes, found.panels.items(), strict=True):
        for method, records in by_method.items():
            _curve(axis, _by_chunk(records, _accuracy), found.look[method])
        whole_numbers(axis, _chunks(by_method))
        axis.set(title=panel_name(*panel), xlabel="chunk", ylabel="test accuracy, %")
    legend(figure, [row.method for row in found.rows], found.look)
    return figure


def cumulative_error(found: Found) -> Any:
    """CER of every method, the best on top."""
    groups: dict[Panel, list[Row]] = {}
    for row in found.rows:
        groups.setdefault((row.noise, row.budget), []).append(row)
    figure, axes = grid(len(groups), f"{found.title}: cumulative error")
    for axis, (panel, group) in zip(axes, groups.items(), strict=True):
        worst_first = sorted(group, key=lambda row: -row.figures["cer"].mean)
        for place, row in enumerate(worst_first):
            cer, look = row.figures["cer"], found.look[row.method]
            axis.errorbar(cer.mean, place, xerr=cer.half, color=look.colour, marker=look.marker)
        axis.set_yticks(range(len(worst_first)), [row.name for row in worst_first])
        axis.margins(y=0.08)
        axis.set(title=panel_name(*panel), xlabel="wrong answers on the test images, all chunks")
    return figure


def pareto(found: Found) -> Any:
    """Accuracy over price, the frontier drawn; a method's budgets are joined."""
    noises = list(dict.fromkeys(row.noise for row in found.rows))
    figure, axes = grid(len(noises), f"{found.title}: accuracy for compute")
    for axis, noise in zip(axes, noises, strict=True):
        rows = [row for row in found.rows if row.noise == noise]
        for method in dict.fromkeys(row.method for row in rows):
            _budgets(axis, [row for row in rows if row.method == method], found.look[method])
        best = [rows[i] for i in frontier([_point(row) for row in rows])]
        _stairs(axis, best)
        axis.set(xscale="log", title=panel_name(noise), xlabel="training FLOPs of all versions")
        axis.set_ylabel(f"mean test accuracy after chunks {FIRST_COUNTED}…, %")
    legend(figure, [row.method for row in found.rows], found.look)
    return figure


def layers(found: Found) -> Any | None:
    """Share of each layer that SNIP had reset, chunk by chunk; None without such a method."""
    shown = [
        (panel, method, shares)
        for panel, by_method in found.panels.items()
        for method, records in by_method.items()
        if _is_snip(records) and (shares := layer_shares(records))
    ]
    if not shown:
        return None
    figure, axes = grid(len(shown), f"{found.title}: share of each layer reset by SNIP")
    most = max(len(shares) for *_, shares in shown)
    figure.set_figheight(max(figure.get_figheight(), 0.16 * most * math.ceil(len(shown) / 2) + 1))
    top = max(max(row) for *_, shares in shown for row in shares.values())
    for axis, (panel, method, shares) in zip(axes, shown, strict=True):
        values = [[100 * share for share in row] for row in shares.values()]
        image = axis.imshow(values, aspect="auto", cmap="cividis", vmin=0, vmax=100 * top)
        axis.set_yticks(range(len(shares)), list(shares))
        axis.set_xticks(range(len(values[0])), range(2, len(values[0]) + 2))
        axis.grid(visible=False)
        axis.set(title=f"{method}, {panel_name(*panel)}", xlabel="chunk")
    figure.colorbar(image, ax=axes, label="reset, %", shrink=0.8)
    return figure


def overlap(found: Found) -> Any | None:
    """How many of the weights reset had been reset the time before; None where no mask is known."""
    panels = {
        panel: {
            method: records
            for method, records in by_method.items()
            if any(record.mask_overlap is not None for record in records)
        }
        for panel, by_method in found.panels.items()
    }
    panels = {panel: by_method for panel, by_method in panels.items() if by_method}
    if not panels:
        return None
    figure, axes = grid(len(panels), f"{found.title}: weights reset twice running")
    for axis, (panel, by_method) in zip(axes, panels.items(), strict=True):
        for method, records in by_method.items():
            _curve(axis, _by_chunk(records, _overlap), found.look[method])
            chance = _by_chunk(records, _chance)
            axis.plot(
                list(chance),
                [value.mean for value in chance.values()],
                color="#555555",
                linestyle=":",
                linewidth=1,
            )
        whole_numbers(axis, range(3, max(_chunks(by_method)) + 1))
        axis.set(title=panel_name(*panel), xlabel="chunk", ylim=(0, 100))
        axis.set_ylabel("of this reset, in the last one too, %")
    axes[0].annotate("dotted: by chance", (0.02, 0.03), xycoords="axes fraction", color="#555555")
    legend(figure, [method for by in panels.values() for method in by], found.look)
    return figure


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, gain) that no other beats in both, by rising cost."""
    best, kept = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def layer_shares(records: Sequence[Record]) -> dict[str, list[float]]:
    """By layer, the mean share reset at each chunk from the second on.

    Layers of which nothing is ever reset are left out.
    """
    by_chunk: dict[int, list[Mapping[str, float]]] = {}
    for record in sorted(records, key=lambda record: record.chunk):
        if record.unlearn:
            by_chunk.setdefault(record.chunk, []).append(record.unlearn["layer_share"])
    names = dict.fromkeys(name for shares in by_chunk.values() for one in shares for name in one)
    table = {
        name: [fmean(one.get(name, 0.0) for one in shares) for shares in by_chunk.values()]
        for name in names
    }
    return {name: row for name, row in table.items() if any(row)}


def _is_snip(records: Sequence[Record]) -> bool:
    return any(r.unlearn and r.unlearn["strategy"] in ("lure", "lure-official") for r in records)


def _accuracy(record: Record) -> float:
    return 100 * record.accuracy


def _overlap(record: Record) -> float | None:
    return None if record.mask_overlap is None else 100 * record.mask_overlap


def _chance(record: Record) -> float | None:
    return None if record.mask_chance is None else 100 * record.mask_chance


def _chunks(by_method: Mapping[str, Sequence[Record]]) -> list[int]:
    return sorted({record.chunk for records in by_method.values() for record in records})


def _by_chunk(
    records: Sequence[Record], figure: Callable[[Record], float | None]
) -> dict[int, Interval]:
    values: dict[int, list[float]] = {}
    for record in records:
        value = figure(record)
        if value is not None:
            values.setdefault(record.chunk, []).append(value)
    found = {chunk: interval(values[chunk]) for chunk in sorted(values)}
    return {chunk: mean for chunk, mean in found.items() if mean}


def _curve(axis: Any, points: Mapping[int, Interval], look: Look) -> None:
    x = list(points)
    y = [found.mean for found in points.values()]
    half = [found.half or 0.0 for found in points.values()]
    low, high = ([m + sign * h for m, h in zip(y, half, strict=True)] for sign in (-1, 1))
    axis.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    axis.plot(x, y, color=look.colour, marker=look.marker, linestyle=look.line)


def _point(row: Row) -> tuple[float, float]:
    return row.figures["price"].mean, 100 * row.figures["anytime"].mean


def _budgets(axis: Any, rows: Sequence[Row], look: Look) -> None:
    """One method's points, joined by budget."""
    ordered = sorted(rows, key=lambda row: Fraction(row.budget))
    x, y = zip(*(_point(row) for row in ordered), strict=True)
    half = [100 * (row.figures["anytime"].half or 0) for row in ordered]
    axis.errorbar(
        x, y, yerr=half, color=look.colour, marker=look.marker, linestyle=look.line, linewidth=0.8
    )


def _stairs(axis: Any, best: Sequence[Row]) -> None:
    """The frontier: what can be had for at most so much."""
    points = [_point(row) for row in best]
    x = [cost for cost, _ in points]
    y = [gain for _, gain in points]
    axis.step(x, y, where="post", color="#555555", linestyle=(0, (4, 2)), linewidth=1, zorder=1)
    for row, point in zip(best, points, strict=True):
        budget = "" if row.budget == FULL else f" at {row.budget}"
        axis.annotate(
            f"{row.method}{budget}", point, textcoords="offset points", xytext=(5, 5), fontsize=8
        )
