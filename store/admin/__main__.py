"""`python -m store.admin COMMAND`; settings come from `LURE_*` environment variables."""

from __future__ import annotations

import argparse
import sys

from store.admin import migrating, tidying
from store.admin.command import Store
from store.engine import Database
from store.observe import configure_logging
from store.settings import StoreSettings

_COMMANDS = (*migrating.COMMANDS, *tidying.COMMANDS)


def main() -> int:
    """Run one of the commands; the exit status is 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m store.admin", description=__doc__)
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        options = words.add_parser(command.name, help=command.help)
        command.options(options)
        options.set_defaults(run=command.run)
    wanted = parser.parse_args()
    settings = StoreSettings()
    configure_logging(settings)
    database = Database(settings)
    try:
        status: int = wanted.run(Store(settings, database), wanted)
    finally:
        database.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
