"""From records to figures of methods."""

from __future__ import annotations

import json

import pytest

from lure_core.experiment.plan import Run
from lure_core.experiment.record import Record
from lure_core.experiment.summary import Row, score, summarise
from tests.lure_core.experiment.making import create_record, create_run

SHORT = "1/5"


def of(rows: list[Row], method: str, budget: str = "1", noise: float = 0.0) -> Row:
    (row,) = (r for r in rows if (r.method, r.budget, r.noise) == (method, budget, noise))
    return row


def summary(*runs: list[Record]) -> list[Row]:
    return summarise([record for run in runs for record in run], [run[0].run for run in runs])


def test_the_anytime_accuracy_leaves_out_the_first_chunk() -> None:
    assert score(create_run(Run("lure", 0), 0.1, 0.6, 0.8)).anytime == pytest.approx(0.7)


def test_of_a_single_chunk_it_is_that_ones() -> None:
    assert score(create_run(Run("lure", 0), 0.4)).anytime == 0.4


def test_a_run_in_figures_by_hand() -> None:
    found = score(create_run(Run("lure", 0), 0.1, 0.6, 0.8))
    assert (found.last, found.cer, found.steps, found.price) == (0.8, 90 + 40 + 20, 12, 3000)
    assert found.seconds == 3.0  # measuring is no part of it
    assert (found.gap, found.ece, found.last_ece) == (pytest.approx(0.1), pytest.approx(0.1), 0.1)
    # `earlier` stays at 0.5 for the first chunk and 0.6 for the second
    assert (found.forgetting, found.backward_transfer) == (0.0, 0.0)
    assert (found.scaled_ece, found.corrupted, found.attacked) == (None, None, None)


def test_what_was_measured_at_the_end_is_found() -> None:
    *records, last = create_run(Run("lure", 0), 0.5, 0.6)
    reports = {
        "calibration": {"after": {"ece": 0.02}},
        "robustness": {"corruption": {"accuracy": 0.3}, "pgd": {"accuracy": 0.1}},
    }
    found = score([*records, Record.from_dict(last.to_dict() | reports)])
    assert (found.scaled_ece, found.corrupted, found.attacked) == (0.02, 0.3, 0.1)


def test_methods_are_averaged_over_seeds_and_compared_seed_by_seed() -> None:
    rows = summary(
        create_run(Run("scratch", 0), 0.5, 0.80),
        create_run(Run("scratch", 1), 0.5, 0.60),
        create_run(Run("random-reset", 0), 0.5, 0.85),
        create_run(Run("random-reset", 1), 0.5, 0.65),
        create_run(Run("lure", 0), 0.5, 0.82),
        create_run(Run("lure", 1), 0.5, 0.62),
    )
    lure = of(rows, "lure")
    assert lure.figures["anytime"].mean == pytest.approx(0.72)
    assert lure.figures["anytime"].half == pytest.approx(12.706 * 0.1, rel=1e-3)
    assert lure.to_scratch is not None
    assert lure.to_scratch.mean == pytest.approx(0.02)
    assert lure.to_scratch.half == pytest.approx(0, abs=1e-9)  # paired: the seeds differ alike
    assert lure.to_reference == lure.to_scratch
    assert lure.to_control is not None
    assert lure.to_control.mean == pytest.approx(-0.03)


def test_a_row_is_not_compared_with_itself() -> None:
    row = of(summary(create_run(Run("scratch", 0), 0.5, 0.8)), "scratch")
    assert (row.to_reference, row.to_scratch, row.to_control) == (None, None, None)
    assert row.price_share == 1.0


def test_a_short_budget_is_compared_with_both_scratches() -> None:
    rows = summary(
        create_run(Run("scratch", 0), 0.5, 0.8),
        create_run(Run("scratch", 0, SHORT), 0.5, 0.6, price=500),
        create_run(Run("lure", 0, SHORT), 0.5, 0.7, price=500),
    )
    lure, short = of(rows, "lure", SHORT), of(rows, "scratch", SHORT)
    assert lure.to_reference is not None
    assert lure.to_scratch is not None
    assert lure.to_reference.mean == pytest.approx(-0.1)
    assert lure.to_scratch.mean == pytest.approx(0.1)
    assert lure.to_control is None
    assert lure.price_share == 500 / 2000
    assert short.to_reference is not None
    assert short.to_scratch is None
    assert [row.name for row in rows] == ["scratch", "scratch-short", "lure"]


def test_noise_is_compared_with_noise_only() -> None:
    rows = summary(
        create_run(Run("scratch", 0), 0.5, 0.8), create_run(Run("lure", 0, "1", 0.2), 0.5, 0.7)
    )
    assert of(rows, "lure", noise=0.2).to_reference is None


def test_only_common_seeds_are_compared() -> None:
    rows = summary(
        create_run(Run("scratch", 0), 0.5, 0.8),
        create_run(Run("lure", 0), 0.5, 0.7),
        create_run(Run("lure", 1), 0.5, 0.1, price=10_000),
    )
    lure = of(rows, "lure")
    assert lure.to_scratch is not None
    assert (lure.to_scratch.count, lure.to_scratch.mean) == (1, pytest.approx(-0.1))
    assert lure.price_share == 1.0


def test_an_unfinished_run_counts_for_nothing() -> None:
    whole, half = Run("lure", 0), Run("lure", 1)
    records = [*create_run(whole, 0.5, 0.6), create_record(half, 1, accuracy=0.9, chunks=2)]
    (row,) = summarise(records, [whole, half, Run("warm", 0)])
    assert row.figures["anytime"].count == 1


def test_a_row_is_plain_json() -> None:
    rows = summary(
        create_run(Run("scratch", 0), 0.5, 0.8),
        create_run(Run("lure", 0), 0.5, 0.9),
        create_run(Run("lure", 1), 0.5, 0.7),
    )
    values = json.loads(json.dumps([row.to_dict() for row in rows]))
    assert values[1]["name"] == "lure"
    assert values[1]["figures"]["anytime"]["mean"] == pytest.approx(0.8)
    assert values[1]["to_scratch"]["count"] == 1
    assert values[0]["to_scratch"] is None
