"""`migrate`: the database's schema."""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from importlib.resources import files

from alembic import command
from alembic.config import Config

from store.admin.command import Command, Store
from store.engine import Database
from store.errors import DatabaseAway
from store.settings import StoreSettings

_PATIENCE_S = 60.0

log = logging.getLogger(__name__)


def alembic_config(settings: StoreSettings | None = None) -> Config:
    """Alembic's settings, without a file: the scripts lie in the package `migrations`."""
    config = Config()
    if settings is not None:
        config.attributes["database_url"] = settings.database_url
    config.set_main_option("script_location", str(files("migrations")))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    return config


def migrate(settings: StoreSettings, database: Database) -> None:
    """Bring the database to the newest schema; waits for PostgreSQL, for a minute at most."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            database.ping()
            break
        except DatabaseAway:
            if time.monotonic() > deadline:
                raise
            log.info("waiting for the database")
            time.sleep(0.5)
    command.upgrade(alembic_config(settings), "head")


def _migrate(store: Store, _: Namespace) -> int:
    migrate(store.settings, store.database)
    return 0


COMMANDS = (Command("migrate", "bring the database to the newest schema", _migrate),)
