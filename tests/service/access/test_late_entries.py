"""Audit entries that cannot be written at once, or not at all: the others go on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from service.access import Principal, journal, needs
from service.access.counters import AccessCounters
from service.access.journal import Journal, entry_of
from service.watch import Watch
from store.audit import Entry
from store.blobs import Blobs
from store.engine import Database
from store.errors import DatabaseAway
from store.keys import ADMIN
from store.models import Json
from store.settings import StoreSettings
from tests.service.access.conftest import Closed, entries

WHO = Principal("key_1", "root", frozenset({ADMIN}), None)
KEY = "lure_" + "kQ3-" * 11


def entry(path: str = "/v1/streams", data: Json | None = None) -> Entry:
    scope: dict[str, Any] = {"path": path, "client": ("127.0.0.1", 1)}
    return entry_of(needs.of("create_stream"), scope, WHO, 201, data or {})


def unstorable() -> Entry:
    return entry("/v1/unstorable", {"nul": "\x00"})


class Told(AccessCounters):
    """What was counted of the audit log."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, int] = {}

    def audited(self, outcome: str, entries: int = 1) -> None:
        super().audited(outcome, entries)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + entries


@pytest.mark.parametrize("name", ["a%00b", "x" * 18_000, "Not%20A%20Name"])
def test_a_path_that_names_no_stream_is_written_down_without_one(closed: Closed, name: str) -> None:
    assert closed.ask(closed.admin, "PATCH", f"/v1/streams/{name}", json={}).status_code == 422
    newest = entries(closed.database, "change_stream")[0]
    assert (newest.stream, newest.status) == (None, 422)
    assert newest.target == f"/v1/streams/{name}".replace("%00", "�").replace("%20", " ")[:500]


def test_the_text_of_a_key_in_a_path_is_masked(closed: Closed) -> None:
    closed.ask(closed.admin, "DELETE", f"/v1/keys/{KEY}")
    assert entries(closed.database, "revoke_key")[0].target == "/v1/keys/lure_***"


def test_one_that_cannot_be_stored_holds_up_none_behind_it(database: Database) -> None:
    counters = Told()
    kept = Journal(database, counters)
    for one in (entry("/first"), unstorable(), entry("/last")):
        kept._wait(one, "a test")
    kept.flush()
    assert [one.target for one in entries(database, "create_stream")] == ["/last", "/first"]
    assert counters.outcomes == {"late": 2, "lost": 1}
    kept.flush()
    kept.close()


def test_a_watch_with_such_an_entry_is_whole_and_ends(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    async def scene() -> None:
        watch = Watch(settings=settings, database=database, blobs=blobs)
        watch._without_database.add("keys")  # as if its last look had found nobody there
        watch.keeper.journal._wait(unstorable(), "a test")
        await watch.start()
        async with asyncio.timeout(20):
            while not watch.ready or watch.degraded:
                await asyncio.sleep(0.01)
        watch.keeper.journal._wait(unstorable(), "a test")
        watch.keeper.journal._wait(entry("/last"), "a test")
        await watch.stop()

    asyncio.run(scene())
    assert [one.target for one in entries(database, "create_stream")] == ["/last"]


def test_a_step_that_fails_with_the_database_there_is_not_without_it(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    faults: list[Exception] = [DatabaseAway("not now"), ValueError("broken")]

    async def scene() -> None:
        watch = Watch(settings=settings, database=database, blobs=blobs)

        async def step() -> None:
            if len(faults) == 1:
                assert watch._without_database == {"step"}
            if not faults:
                assert watch._without_database == set()
                watch._stopping.set()
                return
            raise faults.pop(0)

        woken = asyncio.Event()
        async with asyncio.timeout(20):
            await watch._repeat("step", step, woken)
        watch._threads.close()
        watch.keeper.close()

    asyncio.run(scene())


def test_one_that_takes_long_is_written_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hold the threads; the third was never begun and waits; each is there once."""
    monkeypatch.setattr(journal, "_PATIENCE_S", 0.05)
    counters = Told()
    kept = Journal(database, counters)
    free, real = threading.Event(), kept._add

    def slow(some: list[Entry]) -> None:
        free.wait(20)
        real(some)

    async def scene() -> None:
        monkeypatch.setattr(kept, "_add", slow)
        await asyncio.gather(*(kept.write(entry(f"/{k}")) for k in range(3)))
        assert counters.outcomes == {}
        free.set()
        while kept._working:
            await asyncio.wait(kept._working)

    asyncio.run(scene())
    kept.flush()
    assert sorted(one.target for one in entries(database, "create_stream")) == ["/0", "/1", "/2"]
    assert counters.outcomes == {"written": 2, "late": 1}
    kept.close()
