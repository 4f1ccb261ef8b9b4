from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, update

from service import sharing
from service.watch import Watch
from store import replicas
from store.blobs import Blobs
from store.engine import Database
from store.errors import Conflict
from store.models import Chunk, Replica, Serving, Version
from store.settings import StoreSettings
from store.states import VersionState
from tests.conftest import Servers
from tests.factories import create_version
from tests.service.serving import digits_stream, learned, promote


@asynccontextmanager
async def watching(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> AsyncIterator[Watch]:
    watch = Watch(settings=settings, database=database, blobs=blobs)
    await watch.start()
    try:
        yield watch
    finally:
        await watch.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> float:
    """Seconds until the condition holds."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while not condition():
        assert clock() - began < timeout_s, "it did not come about in time"
        await asyncio.sleep(0.01)
    return clock() - began


def patient(settings: StoreSettings) -> StoreSettings:
    """A poll so slow that only Redis can be the messenger."""
    return settings.model_copy(update={"poll_s": 60.0, "stale_s": 120.0})


def away(settings: StoreSettings) -> StoreSettings:
    """Nobody answers there."""
    return settings.model_copy(update={"redis_url": "redis+socket:///tmp/nobody-is-here.sock"})


def served_at(database: Database, stream_id: int, version: int) -> object:
    with database.begin() as session:
        return session.scalars(
            select(Version.served_at).where(
                Version.stream_id == stream_id, Version.version == version
            )
        ).one()


def test_it_is_ready_when_every_champion_is_loaded(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    for name in ("a", "b"):
        learned(database, blobs, digits_stream(database, name))

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            assert not watch.ready
            await until(lambda: watch.ready)
            assert watch.slots.champions() == {"a": 1, "b": 1}
            await until(lambda: watch.degraded == [])

    asyncio.run(scene())


def test_a_promotion_is_heard_over_redis(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)

    async def scene() -> None:
        async with watching(patient(settings), database, blobs) as watch:
            await until(lambda: watch.ready and watch.degraded == [])
            await asyncio.to_thread(learned, database, blobs, stream, seed=1)
            await until(lambda: watch.slots.champions() == {"digits": 2})

    asyncio.run(scene())


def test_a_promotion_is_seen_by_polling_when_redis_is_away(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)

    async def scene() -> None:
        async with watching(away(settings), database, blobs) as watch:
            await until(lambda: watch.ready)
            assert watch.degraded == ["redis"]
            await asyncio.to_thread(learned, database, blobs, stream, seed=1)
            await until(lambda: watch.slots.champions() == {"digits": 2})

    asyncio.run(scene())


def test_it_hears_again_when_redis_comes_back(
    settings: StoreSettings, database: Database, blobs: Blobs, servers: Servers
) -> None:
    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: watch.degraded == [] and watch.ready)
            servers.redis.kill()
            try:
                await until(lambda: watch.degraded == ["redis"])
            finally:
                servers.redis.start()  # in this thread: the child dies with the one that starts it
            await until(lambda: watch.degraded == [])

    asyncio.run(scene())


def test_what_it_serves_is_in_the_rows_and_the_version_counts_as_served(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: served_at(database, stream.id, 1) is not None)
            with database.begin() as session:
                serving = replicas.of_stream(session, stream, stale_s=10)
                chunk = session.scalars(select(Chunk)).one()
            assert serving == {watch.replica_id: 1}
            assert chunk.served_at is not None

    asyncio.run(scene())


def test_a_version_that_waited_for_a_dead_replica_is_settled(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)
    with database.begin() as session:
        replicas.renew(session, "dead")  # it serves nothing, and will never renew its lease

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: watch.ready)
            await until(lambda: served_at(database, stream.id, 1) is not None)

    asyncio.run(scene())


def test_a_replica_whose_lease_was_buried_reports_anew(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)

    def serving() -> int | None:
        with database.begin() as session:
            return session.scalar(select(Serving.version))

    async def scene() -> None:
        async with watching(settings, database, blobs):
            await until(lambda: serving() == 1)
            with database.begin() as session:
                for lease in session.scalars(select(Replica)):
                    session.delete(lease)
            await until(lambda: serving() == 1)

    asyncio.run(scene())


def test_its_lease_is_given_back_at_the_end(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    def leases() -> int:
        with database.begin() as session:
            return len(session.scalars(select(Replica)).all())

    async def scene() -> None:
        async with watching(settings, database, blobs):
            await until(lambda: leases() == 1)
        assert leases() == 0

    asyncio.run(scene())


def test_its_counts_are_written_down_at_the_end(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(sharing.FOLDER, str(tmp_path))
    monkeypatch.setenv(sharing.PLACE, "0")
    written = tmp_path / "versions_0.json"

    async def scene() -> None:
        async with watching(patient(settings), database, blobs) as watch:
            await until(written.exists)  # and not again for a minute
            watch.counters.predicted("digits", 1, images=5)
        assert json.loads(written.read_text()) == [["digits", 1, 5, 0.0]]

    asyncio.run(scene())


@pytest.mark.parametrize("damage", ["missing", "damaged", "not a model"])
def test_a_champion_that_cannot_be_loaded_does_not_hurt_the_one_that_is_served(
    settings: StoreSettings, database: Database, blobs: Blobs, damage: str
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)
    good = digits_stream(database, "good")

    def promote_a_bad_one() -> None:
        if damage == "not a model":
            digest = blobs.put_bytes(b"{}")
            create_version(database, stream, digest=digest, sidecar_digest=digest)
            return
        version = learned(database, blobs, stream, seed=1, champion=False)
        path = blobs.local(version.digest)
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        promote(database, stream, version.version)

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: watch.ready)
            await asyncio.to_thread(promote_a_bad_one)
            await until(lambda: watch.degraded == ["models"])
            await asyncio.to_thread(learned, database, blobs, good)
            await until(lambda: watch.slots.champions() == {"digits": 1, "good": 1})
            assert served_at(database, stream.id, 2) is None

    asyncio.run(scene())


def test_a_blob_that_comes_back_is_served_without_further_ado(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    version = learned(database, blobs, stream)
    path = blobs.local(version.digest)
    content = path.read_bytes()
    path.unlink()

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: watch.degraded == ["models"])
            path.write_bytes(content)
            await until(lambda: watch.slots.champions() == {"digits": 1})
            assert watch.degraded == []

    asyncio.run(scene())


def test_a_stream_that_is_gone_is_no_longer_served(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream)

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: watch.slots.champions() == {"digits": 1})
            with database.begin() as session:
                session.execute(update(type(stream)).values(name="renamed"))
            await until(lambda: watch.slots.champions() == {"renamed": 1})

    asyncio.run(scene())


def test_a_pinned_version_is_let_go_of_when_its_weights_are_deleted(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    first = learned(database, blobs, stream, seed=1)
    learned(database, blobs, stream, seed=2)

    async def scene() -> None:
        async with watching(settings, database, blobs) as watch:
            await until(lambda: watch.slots.champions() == {"digits": 2})
            assert (await watch.library.find("digits", "1")).version == 1
            with database.begin() as session:
                session.merge(first).state = VersionState.WEIGHTS_DELETED
            await until(lambda: not watch.slots.pinned())
            with pytest.raises(Conflict, match="weights_deleted"):
                await watch.library.find("digits", "1")

    asyncio.run(scene())
