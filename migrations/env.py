"""Runs the migrations over one connection, one runner at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, pool, text

from store.models import Base
from store.settings import StoreSettings

_LOCK = 0x4D494752  # "MIGR": two that migrate at once do so one after the other


def run() -> None:
    """Migrate the database that the caller names, or else that of the settings."""
    given = context.config.attributes
    engine = given.get("connection") or _engine(given.get("database_url"))
    with engine.connect() as connection:
        _migrate(connection)


def _engine(url: str | None) -> Engine:
    return create_engine(url or StoreSettings().database_url, poolclass=pool.NullPool)


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations need a database; `--sql` is not offered")
run()
