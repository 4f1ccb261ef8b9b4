"""Bytes under their digest: once, whole, and safe from the collector while they are young."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from store import garbage, packs
from store.blobs import Blobs, pin
from store.engine import Database, Session
from store.errors import BlobDamaged, BlobMissing, DatabaseAway
from store.locks import locked
from store.models import Base, Blob, Pack
from tests.factories import create_stream, create_version


def age(database: Database, digest: str) -> None:
    """Make a blob look as if nobody had touched it for a day."""
    with database.begin() as session:
        old = sa.text("clock_timestamp() - interval '1 day'")
        session.execute(sa.update(Blob).where(Blob.digest == digest).values(touched_at=old))


def files(blobs: Blobs) -> list[str]:
    return sorted(path.name for path in blobs.root.rglob("*") if path.is_file())


def test_what_is_put_is_read_back(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"digits")
    assert digest == hashlib.sha256(b"digits").hexdigest()
    assert blobs.read(digest) == b"digits"


def test_the_same_bytes_are_kept_once(blobs: Blobs) -> None:
    assert blobs.put_bytes(b"x") == blobs.put_bytes(b"x")
    assert len(files(blobs)) == 1


def test_a_scratch_file_that_was_not_put_goes_away(blobs: Blobs) -> None:
    with blobs.scratch() as path:
        path.write_bytes(b"half an upload")
    assert files(blobs) == []


def test_damage_is_noticed_on_reading(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    blobs.path(digest).write_bytes(b"y")
    with pytest.raises(BlobDamaged):
        blobs.read(digest)


def test_damage_is_mended_by_putting_the_bytes_again(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    blobs.path(digest).write_bytes(b"y")
    blobs.put_bytes(b"x")
    assert blobs.read(digest) == b"x"


def test_an_unknown_digest_is_missing(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing):
        blobs.read("0" * 64)


def test_old_bytes_that_nobody_names_are_collected(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    assert garbage.collect(database, blobs) == 1
    assert files(blobs) == []


def test_young_bytes_are_left_alone(database: Database, blobs: Blobs) -> None:
    blobs.put_bytes(b"x")
    assert garbage.collect(database, blobs) == 0


def test_bytes_put_again_are_young_again(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    blobs.put_bytes(b"x")
    assert garbage.collect(database, blobs) == 0
    assert blobs.exists(digest)


def test_what_a_version_names_is_never_collected(database: Database, blobs: Blobs) -> None:
    named = {
        column: blobs.put_bytes(column.encode())
        for column in ("digest", "sidecar_digest", "mask_digest", "scores_digest")
    }
    create_version(database, create_stream(database), **named)
    for digest in named.values():
        age(database, digest)
    assert garbage.collect(database, blobs) == 0
    with database.begin() as session:
        lost = garbage.missing(session, blobs)
    assert not set(named.values()) & set(lost)


def test_a_row_without_bytes_is_reported(database: Database, blobs: Blobs) -> None:
    version = create_version(database, create_stream(database))
    with database.begin() as session:
        assert version.digest in garbage.missing(session, blobs)


def test_the_scratch_files_of_dead_processes_are_cleared(database: Database, blobs: Blobs) -> None:
    old, young = (blobs.root / "incoming" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"")
    a_day_ago = time.time() - 86400
    os.utime(old, (a_day_ago, a_day_ago))
    garbage.collect(database, blobs)
    assert [path.name for path in Path(old.parent).iterdir()] == ["young"]


def test_bytes_reach_the_disk_before_they_are_named(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    really = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    digest = blobs.put_bytes(b"x")
    home = blobs.path(digest).parent
    assert synced[0].startswith(str(blobs.root / "incoming"))
    assert synced[1:] == [str(home), str(home.parent), str(blobs.root)]


def test_a_put_waits_for_a_collector_of_the_same_bytes(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as collector:
            collector.execute(sa.select(Blob).where(Blob.digest == digest).with_for_update())
            put = pool.submit(blobs.put_bytes, b"x")
            blobs.discard(digest)
            collector.execute(sa.delete(Blob).where(Blob.digest == digest))
            assert not put.done()
        blobs.forget(digest)
        assert put.result(timeout=10) == digest
    assert blobs.read(digest) == b"x"
    with database.begin() as session:
        pin(session, digest)


def test_a_collector_that_fails_puts_the_bytes_back(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    really = blobs.discard

    def discard_and_die(one: str) -> None:
        really(one)
        raise RuntimeError

    monkeypatch.setattr(blobs, "discard", discard_and_die)
    with pytest.raises(RuntimeError):
        garbage.collect(database, blobs)
    assert blobs.read(digest) == b"x"


def test_what_a_dead_collector_left_is_settled_by_the_next(
    database: Database, blobs: Blobs
) -> None:
    named, unnamed = blobs.put_bytes(b"named"), blobs.put_bytes(b"unnamed")
    for digest in (named, unnamed):
        blobs.discard(digest)
    with database.begin() as session:
        session.execute(sa.delete(Blob).where(Blob.digest == unnamed))
    garbage.collect(database, blobs)
    assert files(blobs) == [named]


def test_a_collector_leaves_alone_what_another_is_about_to_delete(
    database: Database, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    with database.begin() as other:
        other.execute(sa.select(Blob).where(Blob.digest == digest).with_for_update())
        blobs.discard(digest)
        other.execute(sa.delete(Blob).where(Blob.digest == digest))
        assert garbage.collect(database, blobs) == 0
        assert blobs.discarded() == [digest]
    garbage.collect(database, blobs)  # the other one died after its commit
    assert files(blobs) == []


def test_a_deletion_that_was_committed_is_not_undone_though_its_answer_was_lost(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    begin = Database.begin

    @contextmanager
    def begin_and_lose_the_answer(one: Database) -> Iterator[Session]:
        with begin(one) as session:
            yield session
        if blobs.discarded():
            monkeypatch.undo()
            raise DatabaseAway("it left during the commit")

    monkeypatch.setattr(Database, "begin", begin_and_lose_the_answer)
    with pytest.raises(DatabaseAway):
        garbage.collect(database, blobs)
    assert files(blobs) == []


def test_what_is_named_under_a_pin_during_a_collection_stays(
    database: Database, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    pack = Pack(id="pck_1", stream_id=create_stream(database).id, digest=digest)
    pack.size_bytes = pack.predictions = 1
    with database.begin() as session:
        packs.add(session, pack)  # which pins its bytes
        assert garbage.collect(database, blobs) == 0
    assert garbage.collect(database, blobs) == 0
    assert blobs.read(digest) == b"x"


def test_nobody_can_name_a_blob_between_the_last_look_and_its_deletion(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    looked_under_lock = []
    is_garbage = garbage._is_garbage

    def look() -> sa.ColumnElement[bool]:
        free = sa.select(Blob.digest).where(Blob.digest == digest)
        with database.begin() as session:
            is_free = session.scalar(locked(free, skip=True)) is not None
        looked_under_lock.append(not is_free)
        return is_garbage()

    monkeypatch.setattr(garbage, "_is_garbage", look)
    assert garbage.collect(database, blobs) == 1
    assert looked_under_lock == [False, True]


def test_the_search_for_garbage_looks_nothing_up_row_by_row(database: Database) -> None:
    """A subplan that outgrows its memory scans a whole table for each blob."""
    search = sa.select(Blob.digest).where(garbage._is_garbage())
    words = search.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with database.begin() as session:
        plan = "\n".join(session.scalars(sa.text(f"EXPLAIN {words}")))
    assert plan.count("Anti Join") == len(garbage._naming()), plan
    assert "SubPlan" not in plan, plan


def test_each_digest_that_names_a_blob_is_searched_by_an_index() -> None:
    tables = Base.metadata.tables.values()
    named = {
        (table.name, column.name)
        for table in tables
        for column in table.columns
        if column.name.endswith("digest") and table is not Blob.__table__
    }
    indexed = {
        (table.name, index.columns[0].name)
        for table in tables
        for index in table.indexes
        if index.dialect_options["postgresql"]["where"] is None
    }
    assert named <= indexed
    search = str(sa.select(Blob.digest).where(garbage._is_garbage()))
    assert [one for one in named if f"{'.'.join(one)} = blobs.digest" not in search] == []
