"""`migrate`: the database's schema."""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import OperationalError

from store.admin.command import Command, Store
from store.engine import Database
from store.errors import DatabaseAway
from store.settings import StoreSettings

_PATIENCE_S = 60.0
_LOCK_NOT_AVAILABLE = "55P03"

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
    """Bring the database to the newest schema.

    Waits for PostgreSQL, and for locks that a busy service holds, for a minute at most.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            database.ping()
            command.upgrade(alembic_config(settings), "head")
        except (DatabaseAway, OperationalError) as error:
            if time.monotonic() > deadline or not _passes(error):
                raise
            log.info("waiting for the database: %s", str(error).partition("\n")[0])
            time.sleep(0.5)
        else:
            return


def _passes(error: DatabaseAway | OperationalError) -> bool:
    """Whether it may go better in a moment: nothing was changed, it is tried from the start."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, DatabaseAway) or code in (None, _LOCK_NOT_AVAILABLE)


def _migrate(store: Store, _: Namespace) -> int:
    migrate(store.settings, store.database)
    return 0


COMMANDS = (Command("migrate", "bring the database to the newest schema", _migrate),)
