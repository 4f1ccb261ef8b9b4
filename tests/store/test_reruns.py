"""Reruns: refused with a reason, behind every cycle, fenced like one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from store import claims, events, reruns
from store.engine import Database
from store.errors import Conflict, FenceLost, NotFound
from store.models import Chunk, Rerun, Stream, Version
from store.states import ChunkState, RerunState, VersionState
from tests.factories import admit_chunk, create_chunk, create_stream, with_inputs

STALE_S = 10.0


@pytest.fixture
def stream(database: Database) -> Stream:
    """A stream with two versions that kept their configuration."""
    made = create_stream(database)
    for _ in range(2):
        with_inputs(database, made)
    return made


def add(database: Database, stream: Stream, version: int = 2, **how: Any) -> Rerun:
    with database.begin() as session:
        return reruns.add(session, stream, version, **how)


def claim(database: Database, stale_s: float = STALE_S) -> reruns.Claim | None:
    with database.begin() as session:
        return reruns.claim_next(session, worker="w", stale_s=stale_s)


def must_claim(database: Database, stale_s: float = STALE_S) -> reruns.Claim:
    claimed = claim(database, stale_s)
    assert claimed is not None
    return claimed


def read(database: Database, stream: Stream, rerun: Rerun) -> Rerun:
    with database.begin() as session:
        return reruns.get(session, stream, rerun.id)


def change_version(database: Database, number: int, **values: Any) -> None:
    with database.begin() as session:
        session.execute(update(Version).where(Version.version == number).values(**values))


def refusal(database: Database, stream: Stream, version: int = 2, **how: Any) -> str:
    with pytest.raises(Conflict) as refused:
        add(database, stream, version, **how)
    return str(refused.value)


def test_what_was_asked_for_comes_first_and_then_the_oldest(
    database: Database, stream: Stream
) -> None:
    first = add(database, stream)
    with database.begin() as session:
        session.get_one(Rerun, first.id).reason = reruns.COUNTERFACTUAL
    asked = [add(database, stream), add(database, stream, method="warm")]
    claimed = [must_claim(database).rerun_id for _ in range(3)]
    assert claimed == [asked[0].id, asked[1].id, first.id]
    assert claim(database) is None
    with database.begin() as session:
        page = reruns.page(session, stream, size=2)
    assert [rerun.id for rerun in page.items] == [asked[1].id, asked[0].id]


def test_nothing_is_run_while_a_stream_has_something_to_learn(
    database: Database, stream: Stream
) -> None:
    add(database, stream)
    other = create_stream(database, "other")
    admit_chunk(database, other, create_chunk(database, other, "new"))
    assert claim(database) is None
    with database.begin() as session:
        assert not reruns.waiting(session, stale_s=STALE_S)


def test_a_claim_that_was_taken_over_writes_nothing(database: Database, stream: Stream) -> None:
    rerun = add(database, stream)
    lost, newest = must_claim(database), must_claim(database, stale_s=0)
    with pytest.raises(FenceLost), database.begin() as session:
        reruns.report(session, lost, {"epoch": 1})
    with pytest.raises(FenceLost), database.begin() as session:
        reruns.succeed(session, stream, lost, {})
    with database.begin() as session:
        assert not reruns.beat(session, lost)
        assert reruns.beat(session, newest)
        reruns.succeed(session, stream, newest, {"identical": True})
        told = [event.name for event in events.after(session, 0)]
    done = read(database, stream, rerun)
    assert (done.state, done.deaths, done.result) == ("succeeded", 1, {"identical": True})
    assert told.count("rerun.started") == 1


def test_one_that_is_cancelled_takes_no_more_from_its_worker(
    database: Database, stream: Stream
) -> None:
    add(database, stream)
    claimed = must_claim(database)
    with database.begin() as session:
        reruns.cancel(session, stream, claimed.rerun_id)
    with database.begin() as session:
        assert not reruns.beat(session, claimed)
    with pytest.raises(FenceLost), database.begin() as session:
        reruns.succeed(session, stream, claimed, {})
    assert claim(database) is None


def test_what_was_handed_back_is_free_and_counts_no_death(
    database: Database, stream: Stream
) -> None:
    rerun = add(database, stream)
    first = must_claim(database)
    with database.begin() as session:
        reruns.hand_back(session, first)
        assert reruns.waiting(session, stale_s=STALE_S)
    must_claim(database)
    assert read(database, stream, rerun).deaths == 0


def test_too_many_deaths_or_exceptions_fail_it(database: Database, stream: Stream) -> None:
    deadly, raising = add(database, stream), add(database, stream)
    for _ in range(claims.MAX_DEATHS):
        assert must_claim(database, stale_s=0).rerun_id == deadly.id
    for _ in range(claims.MAX_EXCEPTIONS):
        claimed = must_claim(database, stale_s=0)
        assert claimed.rerun_id == raising.id
        with database.begin() as session:
            reruns.record_exception(session, claimed, "Traceback: no good")
    assert claim(database, stale_s=0) is None
    assert read(database, stream, deadly).error == "20 workers died of it"
    ended = read(database, stream, raising)
    assert (ended.state, ended.error) == (RerunState.FAILED, "Traceback: no good")


def test_it_is_refused_with_the_reason(database: Database, stream: Stream) -> None:
    assert "nothing to unlearn" in refusal(database, stream, 1, method="warm")
    assert "ask for reproduce" in refusal(database, stream, method="lure")
    change_version(database, 2, config=None)
    assert "before versions kept their configuration" in refusal(database, stream)
    with pytest.raises(NotFound):
        add(database, stream, 3)


@pytest.mark.parametrize(
    ("state", "words"),
    [(VersionState.WEIGHTS_DELETED, "are deleted"), (VersionState.CONTAMINATED, "was retracted")],
)
def test_it_needs_the_parent(
    database: Database, stream: Stream, state: VersionState, words: str
) -> None:
    waiting = add(database, stream)
    change_version(database, 1, state=state)
    assert words in refusal(database, stream)
    assert claim(database) is None
    found = read(database, stream, waiting)
    assert found.state is RerunState.FAILED
    assert words in str(found.error)


def test_it_needs_every_chunk(database: Database, stream: Stream) -> None:
    with database.begin() as session:
        taken = update(Chunk).where(Chunk.position == 1)
        session.execute(taken.values(state=ChunkState.RETRACTED))
    assert "was retracted" in refusal(database, stream)
