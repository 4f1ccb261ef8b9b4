"""Figures of what was forgotten: which layers, and how much of it again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from lure_core.experiment.curves import Found, by_chunk, chunks_of, curves
from lure_core.experiment.looks import grid, legend, panel_name
from lure_core.experiment.record import Record


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
    height = 1.1 + 0.2 * max(len(shares) for *_, shares in shown)
    title = f"{found.title}: share of each layer reset by SNIP"
    figure, axes = grid(len(shown), title, height=height)
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
        curves(axis, {m: by_chunk(r, _overlap) for m, r in by_method.items()}, found.look)
        # One line: every method resets about the same share each time, and that is the chance.
        chances = [r.mask_chance for rs in by_method.values() for r in rs if r.mask_chance]
        if chances:
            axis.axhline(100 * fmean(chances), color="#555555", linestyle="--", linewidth=1.2)
        axis.set_xticks(chunks_of(by_method)[2:])
        axis.set(title=panel_name(*panel), xlabel="chunk", ylim=(0, 100))
        axis.set_ylabel("reset the last time too, %")
    axes[0].annotate("dashed: by chance", (0.02, 0.03), xycoords="axes fraction", color="#555555")
    legend(figure, [method for by in panels.values() for method in by], found.look)
    return figure


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


def _overlap(record: Record) -> float | None:
    return None if record.mask_overlap is None else 100 * record.mask_overlap
