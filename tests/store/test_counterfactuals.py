"""Counterfactuals: made from rows, once, and shown beside what they stand for."""

from __future__ import annotations

from typing import Any

from store import counterfactuals, reruns
from store.engine import Database
from store.models import Rerun, Stream
from store.states import RerunState
from tests.factories import POLICIES, create_stream, create_version, with_inputs

BOTH = ["warm", "scratch"]


def asking(database: Database, name: str = "digits", **asked: Any) -> Stream:
    policies = POLICIES | {"counterfactual": {"every": 2, "methods": BOTH} | asked}
    return create_stream(database, name, policies=policies)


def due(database: Database, stream: Stream) -> list[tuple[int, str, str]]:
    """What is queued after a sweep, oldest first."""
    with database.begin() as session:
        counterfactuals.add_due(session)
        found = reversed(reruns.page(session, stream, size=100).items)
        return [(rerun.version, rerun.method, rerun.reason) for rerun in found]


def finish(database: Database, stream: Stream, rerun: Rerun, accuracy: float) -> None:
    result = {
        "metrics": {"accuracy": accuracy, "images": 100},
        "timings": {"prequential": 5.0, "unlearn": 1.0, "relearn": 2.0, "evaluate": 7.0},
        "flops": {"relearn": 30, "unlearn": 2, "evaluate": 9},
    }
    with database.begin() as session:
        claim = reruns.claim_next(session, worker="w", stale_s=10)
        assert claim is not None
        assert claim.rerun_id == rerun.id
        reruns.succeed(session, stream, claim, result)


def test_every_second_version_is_run_again_once_by_each_method(database: Database) -> None:
    stream = asking(database)
    for _ in range(5):
        with_inputs(database, stream)
    expected = [(number, method, "counterfactual") for number in (2, 4) for method in BOTH]
    assert due(database, stream) == expected
    assert due(database, stream) == expected  # whatever restarts meanwhile


def test_none_is_due_where_it_would_say_nothing(database: Database) -> None:
    never, always = asking(database, "never", every=0), asking(database, "always", every=1)
    for stream in (never, always):
        with_inputs(database, stream)  # it has no parent
        with_inputs(database, stream, strategy="warm")
        create_version(database, stream)  # made by a worker from before, without inputs
    unasked = create_stream(database, "unasked")
    for _ in range(2):
        with_inputs(database, unasked)
    assert due(database, always) == [(2, "scratch", "counterfactual")]
    assert due(database, never) == due(database, unasked) == []


def test_of_those_that_nobody_begins_the_oldest_fail(database: Database) -> None:
    stream, other = asking(database, every=1, methods=["warm"]), asking(database, "other", every=1)
    for _ in range(counterfactuals.MOST_QUEUED + 2):
        with_inputs(database, stream)
    for _ in range(2):
        with_inputs(database, other)
    due(database, stream)
    with database.begin() as session:
        claim = reruns.claim_next(session, worker="w", stale_s=10)
        assert claim is not None
        begun = reruns.get(session, stream, claim.rerun_id).version
    for _ in range(2):
        with_inputs(database, stream)
    due(database, stream)
    with database.begin() as session:
        states = {one.version: one.state for one in reruns.page(session, stream, size=100).items}
        assert [one.state for one in reruns.page(session, other, size=9).items] == ["queued"] * 2
        (first, *_) = reruns.page(session, stream, size=9, state=RerunState.FAILED).items
    assert begun == 3
    assert states == {
        2: "failed",
        3: "running",
        4: "failed",
        **dict.fromkeys(range(5, 9), "queued"),
    }
    assert first.error == "4 newer versions wait to be run again by warm"
    with_inputs(database, stream)
    assert (2, "warm", "counterfactual") in due(database, stream)  # and does not come back


def test_the_last_of_each_method_is_compared_with_the_version(database: Database) -> None:
    stream = create_stream(database)
    environment = {"timings": {"unlearn": 1.5, "relearn": 2.0}, "flops": {"relearn": 30}}
    with_inputs(database, stream)
    with_inputs(database, stream, environment=environment)
    for method, accuracy in (("warm", 0.7), ("scratch", 0.8), ("warm", 0.75), ("reproduce", 0.9)):
        with database.begin() as session:
            rerun = reruns.add(session, stream, 2, method=method)
        finish(database, stream, rerun, accuracy)
    with database.begin() as session:
        (compared,) = counterfactuals.comparisons(session, stream)
    own = counterfactuals.Outcome("lure", accuracy=0.9, images=0, seconds=3.5, flops=30)
    assert (compared.version, compared.own) == (2, own)
    figures = {one.method: (one.accuracy, one.seconds, one.flops) for one in compared.others}
    assert figures == {"warm": (0.75, 3.0, 32), "scratch": (0.8, 3.0, 32)}
