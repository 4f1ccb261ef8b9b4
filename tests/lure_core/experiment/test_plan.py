"""Runs and their order."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from lure_core.errors import ConfigError
from lure_core.experiment.plan import Run, runs
from tests.lure_core.experiment.making import create_experiment


def test_every_method_meets_every_seed_budget_and_noise_once() -> None:
    settings = create_experiment(
        methods=["lure", "warm"], seeds=[3, 1], budgets=["1", "1/5"], label_noise=[0.0, 0.2]
    )
    planned = runs(settings)
    assert len(planned) == len(set(planned)) == 16
    assert {(r.method, r.seed, r.budget, r.noise) for r in planned} == {
        (method, seed, budget, noise)
        for method in ("lure", "warm")
        for seed in (3, 1)
        for budget in ("1", "1/5")
        for noise in (0.0, 0.2)
    }


def test_a_seed_is_finished_before_the_next_begins() -> None:
    planned = runs(create_experiment(methods=["lure", "warm"], seeds=[3, 1], label_noise=[0, 0.2]))
    assert [seed for seed, _ in groupby(planned, key=lambda run: run.seed)] == [3, 1]


def test_controls_run_unasked_at_every_budget_and_scratch_at_the_full_one() -> None:
    planned = runs(create_experiment(methods=["lure"], budgets=["1/5"], controls=True))
    assert planned == [
        Run("scratch", 0, "1"),
        Run("scratch", 0, "1/5"),
        Run("random-reset", 0, "1/5"),
        Run("lure", 0, "1/5"),
    ]


def test_controls_that_were_asked_for_run_once() -> None:
    planned = runs(create_experiment(methods=["lure", "scratch"], controls=True))
    assert [run.method for run in planned] == ["scratch", "random-reset", "lure"]


def test_nothing_runs_unasked_where_controls_are_off() -> None:
    assert runs(create_experiment(methods=["lure"], budgets=["1/5"])) == [Run("lure", 0, "1/5")]


def test_equal_budgets_are_one() -> None:
    assert [r.budget for r in runs(create_experiment(budgets=["0.2", "1/5", "2/10"]))] == ["1/5"]


def test_an_unknown_method_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="did you mean lure"):
        runs(create_experiment(methods=["warm", "luer"]))


def test_ids_are_stable_different_and_fit_for_files(tmp_path: Path) -> None:
    assert Run("lure", 3, "1/5", 0.2).id == "lure_seed3_budget1-5_noise0.2"
    different = [
        Run("shrink-perturb:dash", 0),
        Run("shrink-perturb", 0),
        Run("a/b", 0),
        Run("a_b", 0),
        Run("a", 0, "1/5"),
        Run("a", 0, "1", 0.2),
        Run("a", 1),
    ]
    for run in different:
        (tmp_path / run.id).touch()
    assert len(list(tmp_path.iterdir())) == len(different)
