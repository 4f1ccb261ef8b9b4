"""What is used of a quota is added up by one thread at a time, which holds up no other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.space import Space
from service.stowage import Stowage
from store import quota
from store.blobs import Blobs
from store.engine import Database, Session
from store.errors import DatabaseAway
from store.models import Stream
from store.settings import StoreSettings
from tests.factories import create_stream
from tests.service.serving import service_settings


@pytest.fixture
def stream(database: Database) -> Stream:
    return create_stream(database)


@pytest.fixture
def space(settings: StoreSettings, database: Database, blobs: Blobs) -> Space:
    told = service_settings(settings, quota_bytes=1000)
    return Space(told, database, blobs, Stowage())


class Slow:
    """A database that takes its time, until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_at_it = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, _: Session) -> int:
        self.asked += 1
        self.is_at_it.set()
        assert self.may_answer.wait(60)
        return 500


def used(space: Space, stream: Stream) -> int:
    [limit] = space.room(stream).limits
    return limit.used_bytes


def test_who_comes_while_it_is_added_up_has_the_last_value(
    space: Space, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.space._REMEMBERED_S", -1.0)
    monkeypatch.setattr(quota, "total_bytes", lambda _: 100)
    assert used(space, stream) == 100
    slow = Slow()
    monkeypatch.setattr(quota, "total_bytes", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(used, space, stream)
        assert slow.is_at_it.wait(60)
        assert used(space, stream) == 100
        space.took(stream, 7)
        assert used(space, stream) == 107
        slow.may_answer.set()
        assert first.result(timeout=60) == 507
    assert slow.asked == 1


def test_a_database_that_is_away_is_asked_once_for_all(
    space: Space, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.space._FAULT_REMEMBERED_S", 60.0)
    asked: list[int] = []
    slow = Slow()

    def leave(session: Session) -> int:
        asked.append(1)
        slow(session)
        raise DatabaseAway("it does not answer")

    monkeypatch.setattr(quota, "total_bytes", leave)
    with ThreadPoolExecutor(4) as pool:
        some = [pool.submit(used, space, stream) for _ in range(4)]
        assert slow.is_at_it.wait(60)
        slow.may_answer.set()
        faults = [one.exception(timeout=60) for one in some]
    assert [type(fault) for fault in faults] == [DatabaseAway] * 4
    assert len(asked) == 1
    monkeypatch.setattr("service.space._FAULT_REMEMBERED_S", 0.0)
    monkeypatch.setattr(quota, "total_bytes", lambda _: 9)
    assert used(space, stream) == 9
