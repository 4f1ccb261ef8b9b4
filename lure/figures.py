"""A stream's figures as a person reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from lure.render import table, verdict

Document = Mapping[str, Any]


def metrics(stream: str, found: Document) -> None:
    """The curve, live accuracy, and a sentence for each counterfactual."""
    columns = ("version", "chunk", "images", "prequential", "accuracy", "CER", "forgetting")
    rows = (
        (
            point["version"],
            point["positions"],
            point["images"],
            point["prequential_accuracy"],
            point["accuracy"],
            point["cumulative_error"]["share"],
            point["forgetting"],
            f"{point['seconds']:.1f}",
            verdict(point),
        )
        for point in found["curve"]
    )
    table(f"{stream}: after every chunk", (*columns, "seconds", "gate"), rows)
    if found["live"]:
        _live(stream, found["live"])
    if judgements := found["counterfactual"]["judgements"]:
        _worth(stream, judgements)


def _live(stream: str, versions: Sequence[Document]) -> None:
    rows = (
        (
            one["version"],
            one["labelled"],
            one["accuracy"]["value"],
            f"{one['accuracy']['low']:.4f} to {one['accuracy']['high']:.4f}",
        )
        for one in versions
    )
    columns = ("version", "labels", "accuracy", "95 %")
    table(f"{stream}: live, by labels that came later", columns, rows)


def _worth(stream: str, judgements: Sequence[Document]) -> None:
    columns = ("beside", "versions", "accuracy", "its accuracy", "seconds", "its seconds")
    rows = (
        (
            one["method"],
            one["versions"],
            *(one[side]["accuracy"] for side in ("own", "other")),
            *(f"{one[side]['seconds']:.1f}" for side in ("own", "other")),
        )
        for one in judgements
    )
    table(f"{stream}: what others would have come to", columns, rows)
    for one in judgements:
        typer.echo(f"was unlearning worth it? {one['worth_it']}: {one['words']}")


def lineage(stream: str, found: Document) -> None:
    """A line a version, oldest first; what came of it but does not go on stands beside the line."""
    children = defaultdict(list)
    for edge in found["edges"]:
        children[edge["source"]].append(edge["target"])
    words = {node["version"]: _node(node) for node in found["nodes"]}
    begun = sorted(set(words) - {edge["target"] for edge in found["edges"]})
    typer.echo(f"{stream}: {found['versions']} versions")
    for version in begun:
        for line, shown in _line(version, children):
            typer.echo(f"{line}{words[shown]}")


def _line(
    version: int, children: Mapping[int, Sequence[int]], first: str = "", further: str = ""
) -> Iterator[tuple[str, int]]:
    """What stands before each version, from that one on: its newest child goes on in its line."""
    before = first
    while True:
        yield before, version
        before = further
        below = sorted(children.get(version, ()))
        for branch in below[:-1]:
            yield from _line(branch, children, f"{further}├─ ", f"{further}│  ")
        if not below:
            return
        version = below[-1]


def _node(node: Document) -> str:
    accuracy = "-" if node["accuracy"] is None else f"{node['accuracy']:.4f}"
    told = [f"{node['version']}: accuracy {accuracy}", node["strategy"], verdict(node)]
    if node["state"] != "ready":
        told.append(node["state"].replace("_", " "))
    if node["reruns"]:
        times = "once" if node["reruns"] == 1 else f"{node['reruns']} times"
        told.append(f"run again {times}")
    names = f"  <- {', '.join(node['aliases'])}" if node["aliases"] else ""
    return ", ".join(told) + names


def unlearning(stream: str, found: Document) -> None:
    """A row a layer, and what was reset in all."""
    what = f"{stream}: version {found['version']}"
    if found["kept"] is None:
        typer.echo(f"{what} was learned without unlearning")
        return
    rows = ((layer["name"], layer["weights"], layer["kept"]) for layer in found["layers"])
    table(f"{what} after version {found['parent']}", ("layer", "weights", "kept"), rows)
    typer.echo(
        f"{found['strategy']} reset {found['reset']} of {found['counted']} weights,"
        f" {found['kept']:.1%} were kept"
    )
    if overlap := found["overlap"]:
        typer.echo(
            f"{overlap['share']:.1%} of them had been reset for version {overlap['version']} too;"
            f" {overlap['by_chance']:.1%} by chance"
        )
