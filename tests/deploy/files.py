"""The files under `deploy/` and their pages, read for the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
OPERATIONS = ROOT / "docs" / "operations"
OBSERVABILITY = ROOT / "docs" / "observability.md"

HEADINGS = ["Meaning", "Impact", "How to look", "How to mend", "When to escalate"]


def rules() -> list[dict[str, Any]]:
    """Every alert, in the file's order."""
    read = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "lure.json").read_text())
    return read


def panels() -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str, str]]:
    """Of each question that the dashboard asks: the panel's title, the expression, the legend."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], plain(target["expr"]), target["legendFormat"]
    for note in dashboard()["annotations"]["list"]:
        yield note["name"], plain(note["expr"]), note["titleFormat"]


def plain(expression: str) -> str:
    """What Grafana makes of its own words: an expression that Prometheus can read."""
    return expression.replace("$__rate_interval", "1m").replace("$stream", ".*")


def words_in_braces(text: str) -> set[str]:
    """The labels of a legend (`{{stream}}`) or an annotation (`{{ $labels.stream }}`)."""
    legend = re.findall(r"\{\{\s*(\w+)\s*\}\}", text)
    return {*legend, *re.findall(r"\$labels\.(\w+)", text)}


def documented() -> dict[str, set[str]]:
    """The table of metrics in docs/observability.md: the labels of each."""
    table = re.findall(r"^\| `(lure_\w+)` \|([^|]*)\|", OBSERVABILITY.read_text(), re.MULTILINE)
    names = [name for name, _ in table]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"twice in the table of metrics: {twice}"
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in table}


def kinds() -> dict[str, str]:
    """Of each series in that table, also those of summaries: counted, rows or replica."""
    table = re.findall(
        r"^\| `(lure_\w+)` \|[^|]*\| (\w+) \|", OBSERVABILITY.read_text(), re.MULTILINE
    )
    return {name + end: kind for name, kind in table for end in ("", "_sum", "_count", "_bucket")}
