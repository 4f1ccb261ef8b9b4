"""What is stored, added up."""

from __future__ import annotations

import sqlalchemy as sa

from store import naming, quota
from store.blobs import Blobs
from store.engine import Database
from store.models import ApiKey, Base, Blob
from store.naming import Kind
from tests.factories import create_chunk, create_stream, create_version


def sizes(database: Database, size: int) -> None:
    with database.begin() as session:
        session.execute(sa.update(Blob).values(size_bytes=size))


def test_everything_counts_once_in_all_also_what_nobody_names(
    database: Database, blobs: Blobs
) -> None:
    stream = create_stream(database)
    version = create_version(database, stream)  # an upload, its file, weights, a sidecar
    blobs.put_bytes(b"nobody's")
    sizes(database, 10)
    with database.begin() as session:
        assert quota.total_bytes(session) == 50
        assert quota.stream_bytes(session, stream.id) == 40
        found = quota.bytes_by_kind(session)
    assert {kind: size for kind, size in found.items() if size} == {
        Kind.UPLOAD: 10,
        Kind.CHUNK_FILE: 10,
        Kind.WEIGHTS: 10,
        Kind.SIDECAR: 10,
        quota.UNNAMED: 10,
    }
    assert version.version == 1


def test_what_two_streams_name_counts_for_each(database: Database) -> None:
    one, two = create_stream(database, "one"), create_stream(database, "two")
    for stream in (one, two):
        create_chunk(database, stream, "the same")
    sizes(database, 7)
    with database.begin() as session:
        assert quota.total_bytes(session) == 7
        assert [quota.stream_bytes(session, one.id), quota.stream_bytes(session, two.id)] == [7, 7]


def test_without_rows_nothing_is_used(database: Database) -> None:
    stream = create_stream(database)
    with database.begin() as session:
        assert quota.total_bytes(session) == 0
        assert quota.stream_bytes(session, stream.id) == 0
        assert set(quota.bytes_by_kind(session).values()) == {0}


def test_every_digest_that_names_a_blob_is_known_by_its_kind() -> None:
    named = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name.endswith("digest") and table not in (Blob.__table__, ApiKey.__table__)
    }
    search = str(sa.select(naming.names()))
    assert [column for column in named if f"{column} AS digest" not in search] == []
