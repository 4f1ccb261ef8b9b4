"""Figures of accuracy and cost."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from lure_core.experiment.curves import Found, Panel, by_chunk, chunks_of, curves
from lure_core.experiment.looks import Look, focus, grid, in_thousands, legend, panel_name
from lure_core.experiment.plan import FULL
from lure_core.experiment.record import Record
from lure_core.experiment.summary import FIRST_COUNTED, Row


def accuracy(found: Found) -> Any:
    """Test accuracy after each chunk, with its interval."""
    figure, axes = grid(len(found.panels), f"{found.title}: test accuracy after each chunk")
    for axis, (panel, by_method) in zip(axes, found.panels.items(), strict=True):
        lines = {m: by_chunk(records, _accuracy) for m, records in by_method.items()}
        curves(axis, lines, found.look)
        focus(axis, [at.mean for points in lines.values() for at in points.values()], high=100)
        axis.set_xticks(chunks_of(by_method))
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
        axis.set_xlim(left=max(0, axis.get_xlim()[0]))
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
        focus(axis, [_point(row)[1] for row in rows], high=100)
        in_thousands(axis)
        names = textwrap.fill(
            f"frontier: {', '.join(map(_at_budget, best))}", 60, break_on_hyphens=False
        )
        axis.set(title=panel_name(noise), xlabel=f"training FLOPs of all versions\n{names}")
        axis.set_ylabel(f"mean test accuracy after chunks {FIRST_COUNTED}…, %")
    legend(figure, [row.method for row in found.rows], found.look)
    return figure


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, gain) that no other beats in both, by rising cost."""
    best, kept = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def _accuracy(record: Record) -> float:
    return 100 * record.accuracy


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


def _at_budget(row: Row) -> str:
    return row.method if row.budget == FULL else f"{row.method} at {row.budget}"
