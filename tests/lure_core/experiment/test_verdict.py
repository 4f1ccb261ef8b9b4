"""Who is no worse than retraining, and how much cheaper."""

from __future__ import annotations

import pytest

from lure_core.experiment.plan import Run
from lure_core.experiment.summary import Row, summarise
from lure_core.experiment.verdict import lines, margin_of, no_worse
from tests.lure_core.experiment.making import create_run

SEEDS = range(3)


def create_rows(figures: dict[tuple[str, str], tuple[float, int]], noise: float = 0.0) -> list[Row]:
    """Mean accuracy and price by method and budget; each seed lies a little beside."""
    records, runs = [], []
    for (method, budget), (accuracy, price) in figures.items():
        for seed in SEEDS:
            run = Run(method, seed, budget, noise)
            runs.append(run)
            wobble = 0.001 * seed * (len(method) % 2 or -1)
            records += create_run(run, 0.5, accuracy + wobble, price=price)
    return summarise(records, runs)


FULL = {("scratch", "1"): (0.950, 10_000)}


def test_the_cheapest_that_is_no_worse_is_named_with_both_ratios() -> None:
    rows = create_rows(
        FULL
        | {
            ("scratch", "1/2"): (0.950, 5_000),
            ("scratch", "1/5"): (0.850, 2_000),
            ("lure", "1"): (0.960, 10_100),
            ("lure", "1/5"): (0.955, 2_100),
            ("warm", "1/5"): (0.930, 2_000),
        }
    )
    (line,) = lines(rows, margin=0.005)
    assert line.startswith("Clean labels: lure at 1/5 is the cheapest")
    assert "above -0.5 points" in line
    assert "4.76 times fewer FLOPs than that, and 2.38 times fewer than scratch's own" in line
    assert "no worse at 1/2 of the epochs too." in line


def test_without_a_shorter_scratch_the_full_one_is_the_denominator() -> None:
    rows = create_rows(FULL | {("scratch", "1/5"): (0.8, 2000), ("lure", "1/5"): (0.96, 2500)})
    (line,) = lines(rows, margin=0.005)
    assert "4.00 times fewer FLOPs than that, and 4.00 times fewer" in line
    assert "no worse at the full budget only." in line


def test_where_nobody_is_as_good_it_is_said() -> None:
    rows = create_rows(FULL | {("lure", "1"): (0.93, 10_000)}, noise=0.2)
    (line,) = lines(rows, margin=0.005)
    assert line.startswith("20 % wrong labels: no method is shown to be no worse")


def test_every_share_of_wrong_labels_has_its_own() -> None:
    figures = FULL | {("lure", "1"): (0.96, 10_000)}
    assert len(lines([*create_rows(figures), *create_rows(figures, 0.2)], margin=0.005)) == 2


def test_it_is_the_interval_that_counts_and_not_the_mean() -> None:
    rows = create_rows(FULL | {("lure", "1"): (0.949, 9000)})
    (lure,) = (row for row in rows if row.method == "lure")
    assert lure.to_reference is not None
    assert lure.to_reference.low is not None
    assert no_worse(lure, -lure.to_reference.low + 1e-9)
    assert not no_worse(lure, -lure.to_reference.low - 1e-9)


def test_one_seed_shows_nothing() -> None:
    runs = [Run("scratch", 0), Run("lure", 0)]
    rows = summarise([r for run in runs for r in create_run(run, 0.5, 0.9)], runs)
    assert lines(rows, margin=0.005) == []


def test_without_full_scratch_there_is_no_verdict() -> None:
    assert lines(create_rows({("lure", "1"): (0.9, 1)}), margin=0.005) == []


@pytest.mark.parametrize(("dataset", "margin"), [("cifar10", 0.0025), ("digits", 0.005)])
def test_margins(dataset: str, margin: float) -> None:
    assert margin_of(dataset) == margin
