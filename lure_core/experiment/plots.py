"""Figures of an experiment as PNG files, where matplotlib is there to draw them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from lure_core.experiment import figures, masks, trust
from lure_core.experiment.curves import Found, Panel
from lure_core.experiment.looks import STYLE, looks
from lure_core.experiment.record import Record
from lure_core.experiment.summary import Row

DPI = 150

FILES = {
    "accuracy.png": figures.accuracy,
    "cer.png": figures.cumulative_error,
    "pareto.png": figures.pareto,
    "snip-layers.png": masks.layers,
    "mask-overlap.png": masks.overlap,
    "reliability.png": trust.reliability,
    "robustness.png": trust.robustness,
}


def available() -> bool:
    return find_spec("matplotlib") is not None


def draw(folder: Path, rows: Sequence[Row], records: Iterable[Record], *, title: str) -> list[Path]:
    """Draw every figure there is something to show in; those of the same name are replaced.

    Args:
        folder: Where the files go.
        rows: The summary; at least one.
        records: Of the finished runs in it.
        title: Of the experiment.
    """
    found = Found(title, rows, _panels(records), looks(row.method for row in rows))
    paths = []
    with importlib.import_module("matplotlib").rc_context(dict(STYLE)):
        for name, make in FILES.items():
            figure = make(found)
            if figure is not None:
                figure.savefig(folder / name, dpi=DPI)
                paths.append(folder / name)
    return paths


def _panels(records: Iterable[Record]) -> dict[Panel, dict[str, list[Record]]]:
    panels: dict[Panel, dict[str, list[Record]]] = {}
    for record in records:
        by_method = panels.setdefault((record.noise, record.budget), {})
        by_method.setdefault(record.method, []).append(record)
    return panels
