"""Bytes under their digest: once, whole, on a folder as in a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as often
from hypothesis import strategies as st

from store import garbage
from store.blobs import Blobs
from store.engine import Database
from store.errors import BlobDamaged, BlobMissing
from tests.factories import create_stream, create_version
from tests.store.blobs.conftest import age, lying

LARGE = bytes(range(256)) * (70 << 10)  # bytes: some more than two parts


def put_file(blobs: Blobs, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    with blobs.scratch() as path:
        path.write_bytes(data)
        blobs.put_file(path, digest)
    return digest


def test_what_is_put_is_read_back(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"digits")
    assert digest == hashlib.sha256(b"digits").hexdigest()
    assert blobs.read(digest) == b"digits"


@pytest.mark.parametrize("data", [b"", b"digits", LARGE], ids=["nothing", "little", "parts"])
def test_a_file_that_was_put_is_a_local_file_again(blobs: Blobs, data: bytes) -> None:
    digest = put_file(blobs, data)
    assert blobs.local(digest).read_bytes() == data
    assert blobs.read(digest) == data
    blobs.check(digest)
    with blobs.borrowed(digest) as path:
        assert path.read_bytes() == data
    assert list(blobs.incoming()) == []


@often(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=5000))
def test_any_bytes_come_back_as_they_were(blobs: Blobs, data: bytes) -> None:
    assert blobs.read(blobs.put_bytes(data)) == data


def test_the_same_bytes_are_kept_once(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    assert put_file(blobs, b"x") == digest
    assert blobs.put_bytes(b"x") == digest
    assert [(one.digest, one.size_bytes) for one in blobs.stored()] == [(digest, 1)]


def test_a_scratch_file_that_was_not_put_goes_away(blobs: Blobs) -> None:
    with blobs.scratch() as path:
        path.write_bytes(b"half an upload")
    assert lying(blobs) == []
    assert list(blobs.incoming()) == []


def test_damage_is_noticed(blobs: Blobs, damage: Callable[[str], None]) -> None:
    digest = blobs.put_bytes(b"x")
    damage(digest)
    for look in (blobs.read, blobs.check):
        with pytest.raises(BlobDamaged):
            look(digest)
    with pytest.raises(BlobDamaged):
        blobs.local(digest, check=True)


def test_damage_is_mended_by_putting_the_bytes_again(
    blobs: Blobs, damage: Callable[[str], None]
) -> None:
    digest = blobs.put_bytes(b"x")
    damage(digest)
    blobs.put_bytes(b"x")
    blobs.check(digest)
    assert [one.size_bytes for one in blobs.stored()] == [1]


def test_an_unknown_digest_is_missing(blobs: Blobs) -> None:
    for look in (blobs.read, blobs.check, blobs.local):
        with pytest.raises(BlobMissing):
            look("0" * 64)
    with pytest.raises(BlobMissing), blobs.borrowed("0" * 64):
        pass
    assert not blobs.exists("0" * 64)


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
