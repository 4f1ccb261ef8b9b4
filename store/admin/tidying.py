"""`gc` and `check`: what lies in the store, and whether it should."""

from __future__ import annotations

import logging
from argparse import Namespace

from store import garbage
from store.admin.command import Command, Store
from store.blobs import Blobs

log = logging.getLogger(__name__)


def _collect(store: Store, _: Namespace) -> int:
    blobs = Blobs.of(store.settings, store.database)
    log.info("deleted %d blobs", garbage.collect(store.database, blobs))
    return 0


def _check(store: Store, _: Namespace) -> int:
    blobs = Blobs.of(store.settings, store.database)
    with store.database.begin() as session:
        lost = garbage.missing(session, blobs)
    for digest in lost:
        log.error("no bytes under sha256:%s", digest)
    return 1 if lost else 0


COMMANDS = (
    Command("gc", "delete what no row names", _collect),
    Command("check", "whether every row has its bytes", _check),
)
