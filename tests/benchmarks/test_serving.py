from __future__ import annotations

from typing import cast

import pytest

from benchmarks.load import Outcome
from benchmarks.peers import table
from benchmarks.peers.asking import Load, Server
from benchmarks.peers.best import Settings, best, candidates
from benchmarks.peers.model import CASES, GRAPHS, Model
from benchmarks.peers.raw import Raw
from benchmarks.peers.table import Figure, Report

SMALL, LARGE = CASES["small"], CASES["large"]


class Lit:
    """LitServe that is fastest with what it is told here."""

    def __init__(self, fastest: Settings) -> None:
        self._fastest = fastest

    def set(self, workers: int, batch: int, timeout_s: float) -> None:
        self._now = Settings(workers, batch, timeout_s)

    def load(self, case: object, load: Load) -> Outcome:
        return Outcome(load.seconds, [1.0] * (9 if self._now == self._fastest else 3))


def figure(server: str, per_s: float, *, failures: int = 0) -> Figure:
    return Figure("small", "binary", 8, server, "", per_s, 2.0, 8.0, failures)


def test_litserve_gets_its_best_settings_for_a_load() -> None:
    fastest = Settings(2, 8, 0.0)
    load = Load("binary", 8, seconds=1.0, warm_s=0.1)
    assert best(cast(Server, Lit(fastest)), LARGE, load, "cpu") == fastest


def test_no_batch_of_litserves_waits_for_more_than_there_are_clients() -> None:
    assert {settings.batch for settings in candidates(LARGE, 1, "cpu")} == {1}
    assert {settings.batch for settings in candidates(LARGE, 8, "cpu")} == {6, 8}
    assert {settings.timeout_s for settings in candidates(LARGE, 8, "cpu")} == {0, 0.001, 0.005}


def test_both_graphs_of_the_peers_give_the_same_answers() -> None:
    plain, runner = (Model(SMALL, graph, "cpu") for graph in GRAPHS)
    images = [plain.decode(SMALL.image())] * 2
    assert plain.predict(images).numpy() == pytest.approx(runner.predict(images).numpy(), abs=1e-5)


def test_quotients_are_over_each_peer_and_the_fastest_loop_and_failures_are_all_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = [figure("lure", 30.0), figure("litserve plain", 15.0, failures=4)]
    figures += [figure("litserve runner", 20.0), figure("fastapi", 10.0, failures=7)]
    loops = [Raw("plain", 16, 40.0), Raw("runner", 6, 60.0)]
    table.show(Report({"small": figures}, {"small": loops}))
    shown = capsys.readouterr().out
    assert "| 0 / 4 / 0 / 7 |" in shown
    assert "| binary | 8 | 2.00 | 1.00 | 1.50 | 1.00 | 3.00 | 1.00 | 0.50 |" in shown
