"""Answers as a person reads them, and as a program does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

NOTHING = "-"
WIDE = 200


def document(answer: Any) -> None:
    """One JSON document, nothing else."""
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; as wide as it needs to be where no terminal bounds it."""
    width = None if sys.stdout.isatty() else WIDE
    drawn = Table(*columns, title=title, title_justify="left")
    for row in rows:
        drawn.add_row(*(cell(value) for value in row))
    Console(width=width, highlight=False, markup=False).print(drawn)


def cell(value: Any) -> str:
    """A value in a table."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(part) for part in value)
    return str(value)


def streams(items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("stream", "architecture", "classes", "input", "champion", "created")
    rows = (
        (
            one["name"],
            one["architecture"],
            _classes(one.get("classes"), is_open=one.get("open_classes", False)),
            shape(one.get("input")),
            one.get("champion"),
            one["created_at"],
        )
        for one in items
    )
    table("streams", columns, rows)


def chunks(stream: str, items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("chunk", "id", "state", "images", "refused", "prequential", "version", "served")
    members = ("position", "id", "state", "images", "refused", "prequential_accuracy", "version")
    rows = ([one.get(name) for name in (*members, "served_at")] for one in items)
    table(f"{stream}: chunks", columns, rows)


def running(cycles: Iterable[Mapping[str, Any]]) -> None:
    """A line for each cycle that is under way."""
    for one in cycles:
        if one["state"] == "running":
            told = one.get("progress") or {}
            epochs = f", epoch {told['epoch']} of {told['epochs']}" if told.get("epochs") else ""
            typer.echo(f"cycle {one['id']} runs: {one['stage']}{epochs}")


def replicas(serving: Mapping[str, int | None]) -> None:
    """A line for each live replica: what it serves."""
    for replica, version in sorted(serving.items()):
        served = "nothing yet" if version is None else f"version {version}"
        typer.echo(f"replica {replica} serves {served}")


def versions(stream: str, items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("version", "aliases", "accuracy", "ECE", "parent", "strategy", "gate", "state")
    rows = (
        (
            one["version"],
            one.get("aliases"),
            (one.get("metrics") or {}).get("accuracy"),
            (one.get("metrics") or {}).get("ece"),
            one.get("parent"),
            one.get("strategy"),
            verdict(one.get("verdict") or {}),
            one["state"],
            one["created_at"],
        )
        for one in items
    )
    table(f"{stream}: versions", (*columns, "created"), rows)


def verdict(told: Mapping[str, Any]) -> str:
    """What the gate decided when it was asked, in a few words."""
    outcome = told.get("outcome")
    if outcome is None:
        return NOTHING
    if told.get("promoted"):
        return f"{outcome}, promoted"
    if told.get("held"):
        return f"{outcome}, held back"
    return f"{outcome}, awaits a person" if told.get("awaits") else str(outcome)


def judged(version: Mapping[str, Any]) -> None:
    """The gate's words on a version."""
    told = version.get("verdict") or {}
    if "reason" in told:
        typer.echo(f"version {version['version']} {verdict(told)}: {told['reason']}")


def aliases(stream: str, items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("alias", "version", "on hold", "since")
    rows = (
        (one["alias"], one["version"], "yes" if one["hold"] else None, one["updated_at"])
        for one in items
    )
    table(f"{stream}: aliases", columns, rows)


def moves(stream: str, alias: str, items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("at", "from", "to", "who", "why")
    members = ("at", "from_version", "to_version", "who", "reason")
    rows = ([one.get(name) for name in members] for one in items)
    table(f"{stream}: moves of {alias}", columns, rows)


def predictions(answer: Mapping[str, Any], names: Sequence[str]) -> None:
    rows = (
        (
            name,
            one["label"],
            one["probability"],
            [f"{top['label']} {top['probability']:.3f}" for top in one.get("top_k") or ()],
        )
        for name, one in zip(names, answer["predictions"], strict=True)
    )
    title = f"version {answer['model_version']}"
    table(title, ("image", "label", "probability", "best"), rows)


def shape(spec: Mapping[str, int] | None) -> str:
    """An input as channels x height x width."""
    return "{channels}x{height}x{width}".format(**spec) if spec else NOTHING


def _classes(classes: Sequence[str] | None, *, is_open: bool) -> str:
    return cell(len(classes) if classes else None) + (", open" if is_open else "")
