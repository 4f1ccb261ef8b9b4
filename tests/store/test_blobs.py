"""Bytes under their digest: once, whole, and safe from the collector while they are young."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import garbage
from store.blobs import Blobs, pin
from store.engine import Database
from store.errors import BlobDamaged, BlobMissing
from store.models import Blob
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
    weights, sidecar = blobs.put_bytes(b"weights"), blobs.put_bytes(b"sidecar")
    create_version(database, create_stream(database), digest=weights, sidecar_digest=sidecar)
    age(database, weights)
    age(database, sidecar)
    assert garbage.collect(database, blobs) == 0
    with database.begin() as session:
        lost = garbage.missing(session, blobs)
    assert not {weights, sidecar} & set(lost)


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
