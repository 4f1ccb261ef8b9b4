"""The house keeps its shape: who may import whom, how long a file may be, what no file may say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("lure_core", "store", "service", "worker", "lure", "benchmarks")
MAX_LINES = 300
MAX_FUNCTION_LINES = 60


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def test_the_import_contracts_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_file_is_over_300_lines() -> None:
    long = {str(p): n for p in sources() if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_no_function_is_over_60_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize(
    "unsafe",
    [
        r"pickle\.load",
        "weights_only=False",
        "allow_pickle=True",
        r"load_state_dict\([^)]*strict=False",
        "shell=True",
    ],
)
def test_nothing_unsafe_is_loaded(unsafe: str) -> None:
    assert [str(path) for path in sources() if re.search(unsafe, path.read_text())] == []


@pytest.mark.parametrize(
    "module",
    ["lure_core.images", "lure_core.archive", "store.engine", "worker.admit_tasks", "lure.cli"],
)
def test_what_needs_no_torch_does_not_import_it(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("package", ["service", "worker"])
def test_processes_that_share_a_machine_wait_passively(package: str) -> None:
    code = f"import {package}, os, sys; sys.exit(os.environ['OMP_WAIT_POLICY'] != 'passive')"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_readme_is_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
