"""What an operator does to the store: `python -m store.admin migrate | gc | check`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from importlib.resources import files

from alembic import command
from alembic.config import Config

from store import garbage
from store.blobs import Blobs
from store.engine import Database
from store.errors import DatabaseAway
from store.observe import configure_logging
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


def main() -> int:
    """Run one of the commands; the exit status is 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m store.admin", description=__doc__)
    parser.add_argument(
        "command",
        choices=["migrate", "gc", "check"],
        help="migrate: newest schema; gc: delete what no row names; check: every row has its bytes",
    )
    wanted = parser.parse_args().command
    settings = StoreSettings()
    configure_logging(settings)
    database = Database(settings)
    try:
        if wanted == "migrate":
            migrate(settings, database)
            return 0
        blobs = Blobs(settings.blobs, database)
        if wanted == "gc":
            log.info("deleted %d blobs", garbage.collect(database, blobs))
            return 0
        with database.begin() as session:
            lost = garbage.missing(session, blobs)
        for digest in lost:
            log.error("no bytes under sha256:%s", digest)
        return 1 if lost else 0
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
