"""The closing table as a reader meets it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lure_core.experiment import table
from lure_core.experiment.plan import Run
from lure_core.experiment.statistics import Interval
from lure_core.experiment.summary import Row, summarise
from tests.lure_core.experiment.making import create_run

ACCURACIES = {
    ("scratch", "1"): (0.94, 0.96),
    ("scratch", "1/5"): (0.87, 0.90),
    ("random-reset", "1/5"): (0.93, 0.94),
    ("lure", "1/5"): (0.945, 0.96),
}


def create_rows(seeds: int = 2, noise: float = 0.0) -> list[Row]:
    runs, records = [], []
    for seed in range(seeds):
        for (method, budget), accuracies in ACCURACIES.items():
            run = Run(method, seed, budget, noise)
            runs.append(run)
            price = 19_000_000_000 if budget == "1" else 4_200_000_000
            jitter = [a + 0.001 * seed for a in accuracies]
            records += create_run(run, 0.5, *jitter, price=price)
    return summarise(records, sorted(runs, key=lambda run: run.budget))


def test_it_is_aligned_and_no_wider_than_a_terminal() -> None:
    lines = table.text(create_rows(), title="digits").splitlines()
    assert max(map(len, lines)) <= 120
    cells = [line for line in lines if line.startswith(("method", "scratch", "random", "lure"))]
    short = cells[2:]  # the section of the short budget
    assert len({len(line) for line in short}) == 1
    assert [line.split()[0] for line in short] == [
        "method",
        "scratch",
        "scratch-short",
        "random-reset",
        "lure",
    ]


def test_the_long_names_fit_too() -> None:
    rows = [
        *create_rows(),
        *summarise(
            create_run(Run("shrink-perturb:interpolate", 0), 0.5, 0.9),
            [Run("shrink-perturb:interpolate", 0)],
        ),
    ]
    assert max(map(len, table.text(rows, title="digits").splitlines())) <= 120


def test_figures_stand_under_their_headings() -> None:
    text = table.text(create_rows(), title="digits, mlp")
    (line,) = (line for line in text.splitlines() if line.startswith("lure"))
    assert text.startswith("digits, mlp\n")
    assert "clean labels, relearning for 1/5 of the epochs, 2 seeds" in text
    assert "95.30" in line  # anytime
    assert "+0.25 [" in line  # to scratch at the full budget
    assert "+6.75 ±" in line  # to scratch at the same
    assert "+1.75 ±" in line  # to a random reset
    assert "4.20 G" in line
    assert "0.221" in line


def test_full_scratch_is_not_compared_with_a_reset_of_another_budget() -> None:
    to_full_reset = Interval(0.012, 0.001, 2)
    rows = [replace(r, to_control=to_full_reset) if r.budget == "1" else r for r in create_rows()]
    text = table.text(rows, title="t")
    at_full, at_a_fifth = (line for line in text.splitlines() if line.startswith("scratch "))
    assert "+1.20 ± 0.10" in at_full
    assert "+1.20 ± 0.10" not in at_a_fifth


def test_negative_results_are_printed_as_they_are() -> None:
    text = table.text(create_rows(), title="digits")
    (line,) = (line for line in text.splitlines() if line.startswith("scratch-short"))
    assert "-6.50 [" in line
    assert "-5.00 ±" in line


def test_one_seed_has_no_intervals() -> None:
    text = table.text(create_rows(seeds=1), title="digits")
    (line,) = (line for line in text.splitlines() if line.startswith("lure"))
    assert "1 seed\n" in text
    assert "+0.25 " in line
    assert "±" not in line
    assert "[" not in line


def test_noise_has_its_own_sections() -> None:
    text = table.text([*create_rows(), *create_rows(noise=0.2)], title="digits")
    assert text.count("clean labels") == 2
    assert text.count("20 % wrong labels") == 2


def test_markdown_has_a_table_a_section_and_full_intervals() -> None:
    lines = table.markdown(create_rows(), title="digits").splitlines()
    rows = [line for line in lines if line.startswith("| lure ")]
    assert lines[0] == "# digits"
    assert "+6.75 [" in rows[0]
    assert "95.30 ± " in rows[0]
    assert "generalisation gap" in "".join(lines)
    headings = [line for line in lines if line.startswith("| method")]
    rules = [line for line in lines if line.startswith("| ---")]
    assert [line.count("|") for line in headings] == [line.count("|") for line in rules]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (18_904_752_000, "18.9 G"),
        (683e6, "683 M"),
        (2.5e17, "250 P"),
        (3e22, "30000 E"),
    ],
)
def test_large_figures_get_a_unit(value: float, shown: str) -> None:
    assert table._count(value) == shown
