"""What holds of a bucket alone."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import obstore
import pytest
import sqlalchemy as sa
from obstore.store import S3Store

from store import garbage
from store.blobs import Blobs, rows
from store.blobs.place import MARKS
from store.engine import Database
from store.errors import BlobDamaged, BlobMissing, BlobsAway
from store.failpoint import VARIABLE
from store.fsck.faults import What
from store.fsck.looking import look
from store.fsck.mending import Mender
from store.models import Blob, Chunk
from store.settings import StoreSettings
from tests.buckets import S3
from tests.conftest import Servers, settings_for
from tests.factories import create_chunk, create_stream
from tests.store.blobs.conftest import age, lying
from tests.store.blobs.test_blobs import LARGE, put_file

_PUT = """
import hashlib, sys
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
settings = StoreSettings()
blobs = Blobs.of(settings, Database(settings))
with blobs.scratch() as path:
    path.write_bytes(sys.stdin.buffer.read())
    blobs.put_file(path, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.fixture
def settings(servers: Servers, s3: S3, tmp_path: Path) -> StoreSettings:
    found = settings_for(servers, tmp_path / "unused")
    return found.model_copy(update=s3.settings(tmp_path / "cache"))


@pytest.fixture
def bucket(s3: S3, settings: StoreSettings) -> S3Store:
    return s3.store(settings)


def keys(bucket: S3Store) -> list[str]:
    """Of all objects but the mark that says whose they are."""
    found = (one["path"] for one in obstore.list(bucket).collect())
    return sorted(key for key in found if not key.startswith(MARKS))


def elsewhere(settings: StoreSettings, database: Database, folder: Path, **more: Any) -> Blobs:
    """The same bucket, as another machine has it."""
    return Blobs.of(settings.model_copy(update={"cache": folder, **more}), database)


def test_another_machine_fetches_once(
    settings: StoreSettings, database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    digest = put_file(blobs, LARGE)
    asked: list[str] = []
    there = settings.model_copy(update={"cache": tmp_path / "there"})
    other = Blobs.of(there, database, lambda operation, _: asked.append(operation))
    path = other.local(digest)
    assert path.read_bytes() == LARGE
    assert path.is_relative_to(tmp_path / "there")
    assert asked == ["list", "get", "get", "get"]
    assert other.local(digest) == path
    assert other.read(digest) == LARGE
    assert len(asked) == 4


def test_what_is_borrowed_stays_not_behind(
    settings: StoreSettings, database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    digest = blobs.put_bytes(b"a pack of predictions")
    other = elsewhere(settings, database, tmp_path / "there")
    with other.borrowed(digest) as path:
        assert path.read_bytes() == b"a pack of predictions"
    assert not path.exists()
    assert list((tmp_path / "there").glob("sha256/*/*")) == []


def test_what_is_borrowed_stays_for_the_block_though_the_cache_gives_it_up(blobs: Blobs) -> None:
    digest = put_file(blobs, b"x")
    kept = blobs.local(digest)
    for check in (True, False):
        with blobs.borrowed(digest, check=check) as path:
            kept.unlink(missing_ok=True)
            assert path.read_bytes() == b"x"
        assert list(blobs.incoming()) == []


def test_a_damaged_copy_here_is_not_lent(blobs: Blobs) -> None:
    digest = put_file(blobs, b"x")
    blobs.local(digest).write_bytes(b"y")
    with blobs.borrowed(digest) as path:
        assert path.read_bytes() == b"x"


def test_nothing_is_ever_overwritten(bucket: S3Store, database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    [first] = keys(bucket)
    age(database, digest)
    garbage.collect(database, blobs)
    assert keys(bucket) == []
    blobs.put_bytes(b"x")
    [second] = keys(bucket)
    assert first != second
    assert first.rpartition("/")[0] == second.rpartition("/")[0] == f"sha256/{digest[:2]}/{digest}"


def test_bytes_that_lie_there_are_not_sent_again(
    settings: StoreSettings, database: Database, tmp_path: Path
) -> None:
    asked: list[str] = []
    blobs = Blobs.of(settings, database, lambda operation, _: asked.append(operation))
    blobs.adopt()
    asked.clear()
    put_file(blobs, LARGE)
    assert asked == ["put"]
    put_file(blobs, LARGE)
    assert asked.count("put") == 1
    other = elsewhere(settings, database, tmp_path / "there")
    put_file(other, LARGE)
    assert len(list(blobs.stored())) == 1


def test_a_file_without_its_digest_becomes_no_object(bucket: S3Store, blobs: Blobs) -> None:
    for data in (b"little", LARGE):
        with blobs.scratch() as path:
            path.write_bytes(data)
            with pytest.raises(BlobDamaged):
                blobs.put_file(path, "0" * 64)
    assert keys(bucket) == []


@pytest.mark.parametrize("size", [1000, len(LARGE)], ids=["little", "parts"])
def test_a_killed_upload_leaves_nothing_visible(
    settings: StoreSettings, bucket: S3Store, blobs: Blobs, size: int, tmp_path: Path
) -> None:
    told = settings.model_dump(exclude_none=True) | {"cache": tmp_path / "there"}
    environment = {f"LURE_{name.upper()}": str(value) for name, value in told.items()}
    killed = subprocess.run(
        [sys.executable, "-c", _PUT],
        input=LARGE[:size],
        env=environment | {VARIABLE: "blobs.sending:kill"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert keys(bucket) == []
    digest = hashlib.sha256(LARGE[:size]).hexdigest()
    assert not blobs.exists(digest)
    with pytest.raises(BlobMissing):
        blobs.local(digest)
    assert put_file(blobs, LARGE[:size]) == digest
    blobs.check(digest)


def test_a_row_that_was_collected_during_a_long_upload_is_there_again(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch, touched = rows.touch, []

    def collected_in_between(*arguments: Any) -> bool:
        if touched:
            with database.begin() as session:
                session.execute(sa.delete(Blob))
        touched.append(touch(*arguments))
        return touched[-1]

    monkeypatch.setattr(rows, "touch", collected_in_between)
    digest = put_file(blobs, b"x")
    assert touched == [True, True]
    assert garbage.collect(database, blobs) == 0
    with database.begin() as session:
        assert session.scalars(sa.select(Blob.digest)).all() == [digest]
    assert len(list(blobs.stored())) == 1


def test_an_object_that_was_put_aside_is_not_relied_upon(bucket: S3Store, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    blobs.discard(digest)
    blobs.put_bytes(b"x")
    assert len(list(blobs.stored())) == 2
    blobs.forget(digest, blobs.discarded_of(digest))
    assert len(keys(bucket)) == 1
    blobs.check(digest)


def test_a_damaged_object_beside_a_right_one_does_no_harm(bucket: S3Store, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    for name in ("0" * 32, "f" * 32):  # the first and the last of a list
        obstore.put(bucket, f"sha256/{digest[:2]}/{digest}/{name}", b"y")
    assert blobs.read(digest) == b"x"
    blobs.check(digest)
    assert blobs.local(digest).read_bytes() == b"x"


def test_damage_that_looks_whole_is_mended_by_putting_the_bytes_after_a_repair(
    database: Database, blobs: Blobs, bucket: S3Store
) -> None:
    """Of the same size and with the same metadatum: only reading tells."""
    digest = blobs.put_bytes(b"an upload")
    [key] = keys(bucket)
    obstore.put(bucket, key, b"no upload", attributes={"sha256": digest})
    chunk = create_chunk(database, create_stream(database))
    with database.begin() as session:
        session.execute(sa.update(Chunk).where(Chunk.id == chunk.id).values(digest=digest))
    found = {one.digest: one for one in look(database, blobs, quick=False).faults}
    fault = found[digest]
    assert fault.what is What.DAMAGED
    assert "send the same file again" in (fault.remedy or "")
    assert Mender(database, blobs, repairs=False).mend(fault) == fault
    assert keys(bucket) == [key]
    Mender(database, blobs).mend(fault)
    blobs.put_bytes(b"an upload")
    blobs.check(digest)
    assert digest not in {one.digest for one in look(database, blobs, quick=False).faults}


def test_a_damaged_copy_here_is_fetched_anew(blobs: Blobs) -> None:
    digest = put_file(blobs, b"x")
    blobs.local(digest).write_bytes(b"y")
    assert blobs.read(digest) == b"x"
    blobs.local(digest).write_bytes(b"y")
    assert blobs.local(digest, check=True).read_bytes() == b"x"


def test_room_is_told_and_garbage_collected_after_the_cache_was_deleted(
    database: Database, blobs: Blobs
) -> None:
    for _ in range(2):
        shutil.rmtree(blobs.root)
        assert blobs.free_bytes() > 0
        shutil.rmtree(blobs.root)
        assert garbage.collect(database, blobs) == 0


def test_objects_that_are_no_blobs_are_passed_over(
    database: Database, blobs: Blobs, bucket: S3Store
) -> None:
    for stray in ("sha256/readme", "sha256/00/readme/x", "trash/readme"):
        obstore.put(bucket, stray, b"not ours")
    assert list(blobs.stored()) == []
    assert look(database, blobs, quick=False, grace_s=0).faults == []
    assert garbage.collect(database, blobs) == 0


def test_a_cache_that_was_deleted_is_filled_again(blobs: Blobs) -> None:
    digest = put_file(blobs, b"x")
    shutil.rmtree(blobs.root)
    assert blobs.local(digest).read_bytes() == b"x"


def test_predictions_that_are_collected_leave_the_cache_too(
    database: Database, blobs: Blobs
) -> None:
    digest = put_file(blobs, b"x")
    age(database, digest)
    garbage.collect(database, blobs)
    assert list(blobs.root.glob("sha256/*/*")) == []


def test_a_store_that_is_away_is_told_as_such_and_soon(
    settings: StoreSettings, database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    digest = put_file(blobs, b"here")
    away = {"s3_endpoint": "http://127.0.0.1:9"}
    absent = elsewhere(settings, database, Path(settings.cache), **away)
    assert absent.local(digest).read_bytes() == absent.read(digest) == b"here"
    began = time.monotonic()
    for ask in (absent.check, absent.exists, absent.discard, absent.local, absent.read):
        with pytest.raises(BlobsAway):
            ask("0" * 64)
    with pytest.raises(BlobsAway):
        absent.put_bytes(b"new")
    assert time.monotonic() - began < 100
    assert lying(blobs) == [digest]


def test_an_upload_that_failed_can_be_tried_again_with_the_same_file(
    settings: StoreSettings, database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    absent = elsewhere(settings, database, folder, s3_endpoint="http://127.0.0.1:9")
    present = elsewhere(settings, database, folder)
    digest = hashlib.sha256(b"x").hexdigest()
    with present.scratch() as path:
        path.write_bytes(b"x")
        with pytest.raises(BlobsAway):
            absent.put_file(path, digest)
        present.put_file(path, digest)
    present.check(digest)


def test_a_bucket_that_is_not_there_is_away(
    settings: StoreSettings, database: Database, tmp_path: Path
) -> None:
    lost = elsewhere(settings, database, tmp_path, blobs="s3://no-such-bucket")
    with pytest.raises(BlobsAway):
        lost.put_bytes(b"x")
    with pytest.raises(BlobsAway):
        lost.exists("0" * 64)
