"""What is left when an experiment is done."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from lure_core.experiment import plots
from lure_core.experiment.perform import perform
from lure_core.experiment.plan import Run
from lure_core.experiment.report import report
from tests.lure_core.experiment.making import create_experiment, create_record, create_run


@pytest.fixture
def _no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)


@pytest.mark.usefixtures("_no_matplotlib")
def test_an_experiment_ends_in_a_table_and_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = perform(create_experiment(tmp_path, methods=["lure", "warm"], chunks=2))
    assert text.startswith("digits, mlp, 2 chunks\n")
    assert "lure" in text
    assert "records.jsonl, summary.md, summary.json" in text
    rows = json.loads((tmp_path / "summary.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["lure", "warm"]
    assert (tmp_path / "summary.md").read_text().startswith("# digits, mlp, 2 chunks\n")
    assert "[2/2] warm, seed 0" in capsys.readouterr().err


@pytest.mark.usefixtures("_no_matplotlib")
def test_without_matplotlib_a_line_says_so(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path)
    text = report(settings, create_run(Run("lure", 0), 0.5, 0.6, 0.7))
    assert "No figures: matplotlib is not installed (pip install matplotlib)." in text
    assert list(tmp_path.glob("*.png")) == []


def test_a_diverged_run_spoils_its_own_figures_only(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path, seeds=[0, 1])
    sick = create_run(Run("lure", 1), 0.1, 0.1, ece=math.nan)
    text = report(settings, [*create_run(Run("lure", 0), 0.5, 0.6), *sick])
    (line,) = (line for line in text.splitlines() if line.startswith("lure"))
    assert " 35.00 " in line
    assert " nan " in (tmp_path / "summary.md").read_text()


def test_while_no_run_is_finished_there_is_no_table(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path)
    assert report(settings, [create_record()]) == "No run is finished yet.\n"
    assert report(settings, []) == "No run is finished yet.\n"


@pytest.mark.usefixtures("_no_matplotlib")
def test_what_is_no_number_is_null_in_the_summary(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path, chunks=2)
    report(settings, create_run(Run("lure", 0), 0.5, 0.6, ece=math.nan))
    content = (tmp_path / "summary.json").read_text()
    figures = json.loads(content, parse_constant=pytest.fail)["rows"][0]["figures"]
    assert figures["ece"]["mean"] is None
