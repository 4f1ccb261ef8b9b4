"""`create-key`: a key made beside the service, which does not start for others without one."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, Namespace

from store import audit, keys
from store.admin.command import Command, Store

log = logging.getLogger(__name__)


def _create(store: Store, wanted: Namespace) -> int:
    """Write the new key's text to standard output, and everything else to the log."""
    new = keys.NewKey(wanted.name, wanted.scope or [keys.ADMIN], wanted.stream)
    with store.database.begin() as session:
        row, text = keys.create(session, new, who=audit.BESIDE)
        audit.add_key_made(session, row.id, new)
    log.info("key %s made: %s, %s; it is shown this once", row.id, row.name, ", ".join(row.scopes))
    sys.stdout.write(f"{text}\n")
    return 0


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="who acts with it")
    parser.add_argument("--scope", action="append", choices=keys.SCOPES, help="else admin")
    parser.add_argument("--stream", help="the only stream that it opens")


COMMANDS = (Command("create-key", "make an API key beside the service", _create, _options),)
