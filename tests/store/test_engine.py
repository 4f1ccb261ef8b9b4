"""The one opener of transactions tells a busy database from one that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from store import streams
from store.engine import Database
from store.errors import AlreadyExists, DatabaseAway, DatabaseBusy
from store.settings import StoreSettings
from tests.factories import create_stream


def lock_quickly(database: Database, stream_id: int) -> None:
    with database.begin() as session:
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        streams.lock(session, stream_id)


def test_a_lock_that_is_not_had_in_time_is_a_busy_database(database: Database) -> None:
    stream = create_stream(database)
    with database.begin() as holder:
        streams.lock(holder, stream.id)
        with pytest.raises(DatabaseBusy):
            lock_quickly(database, stream.id)


def test_a_server_that_is_not_there_is_a_database_away(tmp_path: Path) -> None:
    database = Database(
        StoreSettings(
            database_url=f"postgresql+psycopg://lure@/lure?host={tmp_path}",
            redis_url="redis://127.0.0.1:1/0",
            blobs=tmp_path,
        )
    )
    with pytest.raises(DatabaseAway), database.begin() as session:
        session.execute(text("SELECT 1"))


def test_a_connection_that_breaks_is_a_database_away(database: Database) -> None:
    with pytest.raises(DatabaseAway), database.begin() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_name_that_is_taken_is_told(database: Database) -> None:
    create_stream(database, "a")
    with pytest.raises(AlreadyExists, match="a stream named 'a' exists already"):
        create_stream(database, "a")
