from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import func, update

from store import traces
from store.engine import Database
from store.models import Trace

ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TWO = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def test_the_last_one_counts(database: Database) -> None:
    for traceparent in (ONE, TWO):
        with database.begin() as session:
            traces.keep(session, "chk_1", traceparent)
    with database.begin() as session:
        assert traces.of(session, ["chk_1", "chk_2"]) == {"chk_1": TWO}
        assert traces.of(session, []) == {}


def test_those_of_long_ago_are_forgotten(database: Database) -> None:
    with database.begin() as session:
        traces.keep(session, "chk_old", ONE)
        traces.keep(session, "chk_new", ONE)
        long_ago = func.clock_timestamp() - dt.timedelta(days=traces.KEEP_DAYS + 1)
        session.execute(update(Trace).where(Trace.subject == "chk_old").values(at=long_ago))
    with database.begin() as session:
        traces.forget_old(session)
        assert traces.of(session, ["chk_old", "chk_new"]).keys() == {"chk_new"}


def test_a_database_of_the_release_before_keeps_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "has", lambda *_: False)
    with database.begin() as session:
        traces.keep(session, "chk_1", ONE)
        assert traces.of(session, ["chk_1"]) == {}
        traces.forget_old(session)
    monkeypatch.undo()
    with database.begin() as session:
        assert traces.of(session, ["chk_1"]) == {}


def test_a_trace_is_called_by_its_id() -> None:
    assert traces.id_of(ONE) == "0af7651916cd43dd8448eb211c80319c"
