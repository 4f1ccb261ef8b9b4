"""`python -m store.admin COMMAND`; settings come from `LURE_*` variables, or files of secrets."""

from __future__ import annotations

import argparse
import logging
import sys

from pydantic import ValidationError

from store.admin import backup, doctor, initialising, keys, migrating, tidying
from store.admin.command import Command, Plain, Store
from store.engine import Database
from store.observe import configure_logging
from store.settings import StoreSettings, faults

_COMMANDS: tuple[Command | Plain, ...] = (
    *initialising.COMMANDS,
    *migrating.COMMANDS,
    *backup.COMMANDS,
    *doctor.COMMANDS,
    *tidying.COMMANDS,
    *keys.COMMANDS,
)


def main() -> int:
    """Run one of the commands; 0 when all is well, 2 when the settings are missing or wrong."""
    parser = argparse.ArgumentParser(prog="python -m store.admin", description=__doc__)
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        options = words.add_parser(command.name, help=command.help)
        command.options(options)
        options.set_defaults(command=command)
    wanted = parser.parse_args()
    command = wanted.command
    if isinstance(command, Plain):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        return command.run(wanted)
    try:
        settings = StoreSettings()
    except ValidationError as error:
        sys.stderr.write("\n".join([*faults(error), ""]))
        return 2
    configure_logging(settings, "admin")
    return _in_store(settings, command, wanted)


def _in_store(settings: StoreSettings, command: Command, wanted: argparse.Namespace) -> int:
    database = Database(settings)
    try:
        return command.run(Store(settings, database), wanted)
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
