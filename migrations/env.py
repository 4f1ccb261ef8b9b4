"""Runs the migrations over one connection, one runner at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from store.models import Base
from store.settings import StoreSettings

_LOCK = 0x4D494752  # "MIGR": two that migrate at once do so one after the other


def run() -> None:
    url = context.config.attributes.get("database_url") or StoreSettings().database_url
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        _migrate(connection)
    engine.dispose()


def _migrate(connection) -> None:  # type: ignore[no-untyped-def]
    context.configure(
        connection=connection, target_metadata=Base.metadata, transaction_per_migration=False
    )
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations need a database; `--sql` is not offered")
run()
