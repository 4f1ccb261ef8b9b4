"""How figures look: one style, colours that colour-blind readers tell apart, panels and legends."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "legend.frameon": False,
}
PANEL_INCHES = (4.6, 3.3)
ALONE_INCHES = 6.0
"""Width of a panel that is the only one: the title must fit above it."""
COLUMNS = 2

# Okabe & Ito's palette, without the yellow that is lost on white, and a grey.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A7A7A")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_FIXED = {"scratch": 0, "lure": 1, "warm": 2, "random-reset": 3}
"""Methods that look the same in every experiment."""


@dataclass(frozen=True)
class Look:
    """Of one method, in all figures."""

    colour: str
    marker: str
    line: str = "-"


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, no two alike."""
    names = list(dict.fromkeys(methods))
    others = [name for name in names if name not in _FIXED]
    places = {name: _FIXED.get(name, len(_FIXED)) for name in names}
    places |= {name: len(_FIXED) + at for at, name in enumerate(others)}
    return {name: _look(place) for name, place in places.items()}


def _look(place: int) -> Look:
    if place == 0:
        return Look("#000000", "o")
    lap, at = divmod(place - 1, len(_COLOURS))
    marker = _MARKERS[(at + 3 * lap) % len(_MARKERS)]
    return Look(_COLOURS[at], marker, ("-", "--", ":", "-.")[lap % 4])


def grid(count: int, title: str, *, height: float = PANEL_INCHES[1]) -> tuple[Any, list[Any]]:
    """A figure and so many panels in it, each so many inches high."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    width = PANEL_INCHES[0] if columns > 1 else ALONE_INCHES
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(columns * width + 1.4, rows * height + 0.4), layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for spare in axes[count:]:
        spare.set_axis_off()
    return figure, axes[:count]


def legend(figure: Any, methods: Iterable[str], look: Mapping[str, Look]) -> None:
    """Names of the methods, to the right of all panels."""
    line = importlib.import_module("matplotlib.lines").Line2D
    names = list(dict.fromkeys(methods))
    handles = [
        line([], [], color=look[n].colour, marker=look[n].marker, linestyle=look[n].line)
        for n in names
    ]
    figure.legend(handles, names, loc="outside right center")


def focus(axis: Any, means: Sequence[float], *, low: float = -math.inf, high: float) -> None:
    """Fit the vertical range to the means: the intervals of few seeds are wider than any range.

    Args:
        axis: A panel.
        means: What must be seen.
        low: Nothing lies below it.
        high: Nothing lies above it.
    """
    margin = max(0.5, 0.12 * (max(means) - min(means)))
    axis.set_ylim(max(low, min(means) - margin), min(high, max(means) + margin))


def in_thousands(axis: Any) -> None:
    """A logarithmic horizontal axis with ticks such as 5 G."""
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(ticker.EngFormatter())
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())


def panel_name(noise: float, budget: str | None = None) -> str:
    """What one panel shows."""
    labels = f"{100 * noise:g} % wrong labels" if noise else "clean labels"
    if budget is None:
        return labels
    return f"{labels}, {'full budget' if budget == '1' else f'{budget} of the epochs'}"
