"""Each line of the threat model names tests that hold it, and they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "security.md"
_TEST = re.compile(r"`((?:tests)/[\w/]+\.py)::(\w+)`")


def threats() -> list[tuple[str, str]]:
    """The table's rows: the threat, and the cell that names tests."""
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    start = next(k for k, row in enumerate(cells) if row[0] == "threat")
    return [(row[0], row[2]) for row in cells[start + 1 :] if len(row) == 3 and row[0] != "---"]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_there_is_a_threat_model() -> None:
    assert len(threats()) >= 20


@pytest.mark.parametrize(("threat", "cell"), threats(), ids=lambda text: text[:40])
def test_each_threat_names_tests_that_exist(threat: str, cell: str) -> None:
    named = _TEST.findall(cell)
    assert named, f"{threat}: no test is named"
    for path, name in named:
        assert (ROOT / path).is_file(), f"{threat}: there is no {path}"
        assert name in functions(path), f"{threat}: {path} has no {name}"
