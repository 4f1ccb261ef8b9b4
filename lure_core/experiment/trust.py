"""Figures of how far an answer can be trusted: calibration, corrupted and attacked images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from lure_core.experiment.curves import Found
from lure_core.experiment.looks import grid, legend, panel_name
from lure_core.experiment.record import Record

_ATTACK = "PGD-20"
_AXES = ("confidence", "accuracy")


def reliability(found: Found) -> Any | None:
    """How often the last versions are right when they are so sure; None where nobody knows."""
    every = {
        panel: {m: points for m, records in by.items() if (points := bins(records))}
        for panel, by in found.panels.items()
    }
    panels = {panel: by for panel, by in every.items() if by}
    if not panels:
        return None
    figure, axes = grid(len(panels), f"{found.title}: reliability of the last version")
    for axis, (panel, by_method) in zip(axes, panels.items(), strict=True):
        axis.plot([0, 100], [0, 100], color="#555555", linestyle=":", linewidth=1)
        for method, points in by_method.items():
            look = found.look[method]
            confidence, right = zip(*points, strict=True)
            axis.plot(confidence, right, color=look.colour, marker=look.marker, linestyle=look.line)
        axis.set(title=panel_name(*panel), xlabel="confidence, %", ylabel="right answers, %")
    legend(figure, [method for by in panels.values() for method in by], found.look)
    return figure


def robustness(found: Found) -> Any | None:
    """The last versions on corrupted and attacked images; None where nobody asked."""
    every = {
        panel: {m: shares for m, records in by.items() if (shares := held(records))}
        for panel, by in found.panels.items()
    }
    panels = {panel: by for panel, by in every.items() if by}
    if not panels:
        return None
    title = f"{found.title}: accuracy on corrupted and attacked images"
    figure, axes = grid(len(panels), title, height=4.4)
    for axis, (panel, by_method) in zip(axes, panels.items(), strict=True):
        kinds = list(next(iter(by_method.values())))
        for method, shares in by_method.items():
            look = found.look[method]
            x = [100 * shares[kind] for kind in kinds]
            axis.plot(x, range(len(kinds)), color=look.colour, marker=look.marker, linestyle="")
        axis.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        axis.invert_yaxis()
        axis.set(title=panel_name(*panel), xlabel="accuracy, mean of 5 severities, %")
    legend(figure, [method for by in panels.values() for method in by], found.look)
    return figure


def bins(records: Sequence[Record], *, least: int = 10) -> list[tuple[float, float]]:
    """Confidence and accuracy in % of each bin, over all seeds; bins of few images are left out."""
    of_seeds = [r.calibration["before"]["bins"] for r in records if r.calibration]
    points = []
    for same in zip(*of_seeds, strict=True):
        filled = [one for one in same if one["count"]]
        count = sum(one["count"] for one in filled)
        if count >= least:
            sums = (sum(one[of] * one["count"] for one in filled) for of in _AXES)
            x, y = (100 * total / count for total in sums)
            points.append((x, y))
    return points


def held(records: Sequence[Record]) -> dict[str, float]:
    """Mean accuracy over the seeds, by family of corruptions, and under attack."""
    reports: list[Mapping[str, Any]] = [r.robustness for r in records if r.robustness]
    if not reports:
        return {}
    families = {
        name: fmean(one["corruption"]["families"][name]["mean_accuracy"] for one in reports)
        for name in reports[0]["corruption"]["families"]
    }
    return {**families, _ATTACK: fmean(one["pgd"]["accuracy"] for one in reports)}
