"""A connection of its own for a backup or a restore: it may take as long as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from store import locks
from store.backup.rows import Link
from store.errors import BackupRefused, DatabaseAway
from store.settings import StoreSettings

_OPTIONS = (
    "-c lock_timeout=30s -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
    " -c idle_session_timeout=0 -c timezone=UTC"
)


@contextmanager
def connect(settings: StoreSettings) -> Iterator[Link]:
    """A connection that nobody shares; each statement is a transaction unless told otherwise.

    Raises:
        DatabaseAway: PostgreSQL cannot be reached, or left.
        BackupRefused: It does not let this user do what is needed.
    """
    url = settings.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(
            url, autocommit=True, options=_OPTIONS, connect_timeout=5, keepalives_idle=10
        ) as link:
            yield link
    except psycopg.OperationalError as error:
        raise DatabaseAway(f"the database was not to be had: {error}") from error
    except psycopg.Error as error:
        raise BackupRefused(f"the database refused: {error}") from error


def keep_all_bytes(link: Link) -> None:
    """Nothing is collected as garbage until the connection ends.

    Raises:
        BackupRefused: Another backup or restore is under way.
    """
    try:
        link.execute("SELECT pg_advisory_lock(%s)", (locks.COLLECTION,))
    except psycopg.errors.LockNotAvailable as error:
        raise BackupRefused("another backup or restore is under way; try again later") from error


def must_still_keep_all_bytes(link: Link) -> None:
    """Make sure that nothing was collected since `keep_all_bytes`.

    Raises:
        BackupRefused: The connection was lost meanwhile, and the lock with it.
    """
    try:
        link.execute("SELECT 1")
    except psycopg.OperationalError as error:
        raise BackupRefused(
            "the database was lost while the bytes were copied, so some may have been collected;"
            " begin again: what was copied stays"
        ) from error


@contextmanager
def one_schema(link: Link) -> Iterator[None]:
    """No migration begins within; one that runs is waited for.

    Raises:
        BackupRefused: One takes too long.
    """
    try:
        link.execute("SELECT pg_advisory_lock_shared(%s)", (locks.MIGRATION,))
    except psycopg.errors.LockNotAvailable as error:
        raise BackupRefused("a migration is under way; try again later") from error
    try:
        yield
    finally:
        if not link.closed:
            link.execute("SELECT pg_advisory_unlock_shared(%s)", (locks.MIGRATION,))
