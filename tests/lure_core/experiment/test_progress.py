"""What one sees while an experiment runs."""

from __future__ import annotations

import io

import pytest

from lure_core.experiment import progress
from lure_core.experiment.plan import Run
from lure_core.experiment.progress import Lines, Meter, told, told_seconds
from tests.lure_core.experiment.making import create_record, create_run

RUNS = [Run("lure", 0), Run("lure", 0, "1/5")]


def test_work_is_weighed_by_budget_and_by_what_a_chunk_replays() -> None:
    meter = Meter(RUNS, now=0)
    shares = []
    for run in RUNS:
        for record in create_run(run, 0.5, 0.6, 0.7):
            meter.add(record)
            shares.append(meter.share)
    full = 1 / 1.2
    assert shares == pytest.approx([full / 6, full / 2, full, full + 1 / 36, full + 1 / 12, 1.0])
    assert (meter.finished, meter.runs) == (2, 2)


def test_the_time_left_follows_from_the_pace() -> None:
    meter = Meter(RUNS[:1], now=100)
    assert meter.seconds_left(110) is None
    first, second, third = create_run(RUNS[0], 0.5, 0.6, 0.7)
    meter.add(first)
    meter.add(second)
    assert meter.seconds_left(110) == pytest.approx(10)
    meter.add(third)
    assert meter.seconds_left(120) == 0


def test_a_record_told_twice_counts_once() -> None:
    meter = Meter(RUNS[:1], now=0)
    for _ in range(2):
        meter.add(create_record(RUNS[0], 1))
    assert meter.share == pytest.approx(1 / 6)


def test_without_a_terminal_every_finished_run_is_a_line() -> None:
    out = io.StringIO()
    with progress.shown(out) as shown:
        assert isinstance(shown, Lines)
        shown.begin(RUNS)
        for run in RUNS:
            for record in create_run(run, 0.5, 0.6, 0.7):
                shown.tell(record)
    first, second, third = out.getvalue().splitlines()
    assert first == "2 runs to do"
    assert second.startswith("[1/2] lure, seed 0: 70.00 %; ")
    assert third.startswith("[2/2] lure at 1/5, seed 0: 70.00 %; 0 s left")


def test_with_nothing_to_do_nothing_is_said() -> None:
    out = io.StringIO()
    with progress.shown(out) as shown:
        shown.begin([])
    assert out.getvalue() == ""


def test_on_a_terminal_there_is_a_bar_where_rich_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    out = Terminal()
    with progress.shown(out) as shown:
        assert isinstance(shown, progress.Bar)
        shown.begin(RUNS)
        for record in create_run(RUNS[0], 0.5, 0.6, 0.7):
            shown.tell(record)
    assert "1/2 runs" in out.getvalue()
    assert "83 %" in out.getvalue()
    assert "lure, seed 0: 70.00 %" in out.getvalue()


def test_a_terminal_without_rich_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    with progress.shown(Terminal()) as shown:
        assert isinstance(shown, Lines)


def test_a_run_in_a_few_words() -> None:
    record = create_record(Run("fire:paper", 3, "1/5", 0.2), 2, accuracy=0.5)
    assert told(record) == ("fire:paper at 1/5, seed 3, 20 % wrong labels, chunk 2 of 3: 50.00 %")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "?"), (0.4, "0 s"), (59.7, "1 min 00 s"), (125, "2 min 05 s"), (7300, "2 h 01 min")],
)
def test_seconds_in_two_units(seconds: float | None, shown: str) -> None:
    assert told_seconds(seconds) == shown
