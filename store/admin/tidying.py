"""`adopt`, `gc` and `fsck`: whose the blobs are, and whether they should be there."""

from __future__ import annotations

import json
import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store import forecast, garbage
from store.admin.command import Command, Store
from store.blobs import Blobs
from store.errors import StoreError
from store.fsck.faults import Fault
from store.fsck.looking import GRACE_S, Found, faults
from store.fsck.mending import Mender

_MIB = 1 << 20

log = logging.getLogger(__name__)


def _collect(store: Store, wanted: Namespace) -> int:
    try:
        blobs = Blobs.of(store.settings, store.database)
        if not wanted.dry_run:
            return _delete(store, blobs)
        due = forecast.forecast(store.database, blobs)
    except (StoreError, OSError) as error:
        log.error("%s", error)
        return 1
    if wanted.json:
        _write([one.shown() for one in due])
    else:
        for one in due:
            log.info("%s: %d, %.1f MiB, %s", one.when, one.count, one.size_bytes / _MIB, one.kind)
        if not due:
            log.info("there is nothing to delete")
    return 0


def _delete(store: Store, blobs: Blobs) -> int:
    is_held_back = garbage.is_held_back(store.database)
    log.info("deleted %d blobs", garbage.collect(store.database, blobs))
    if is_held_back:
        log.error("a backup holds collections back: run it again when the backup has ended")
    return int(is_held_back)


def _adopt(store: Store, _: Namespace) -> int:
    try:
        Blobs.of(store.settings, store.database).adopt()
    except (StoreError, OSError) as error:
        log.error("%s", error)
        return 1
    log.info("%s is this database's alone", store.settings.blobs)
    log.warning("processes of another database that had it must be stopped, if there are any")
    return 0


def _check(store: Store, wanted: Namespace) -> int:
    found, is_all = Found(), False
    try:
        for fault in _mended(store, wanted, found):
            found.faults.append(fault)
            if not wanted.json:  # at once: what is still to be read may take hours
                log.log(logging.ERROR if fault.mended is None else logging.INFO, "%s", fault)
        is_all = True
    except (StoreError, OSError) as error:
        log.error("not all could be looked at: %s", error)
    left = [fault for fault in found.faults if fault.mended is None]
    if wanted.json:
        _write(_shown(found, left, is_all=is_all))
    else:
        _tell(found, left)
    return 0 if is_all and not left else 1


def _mended(store: Store, wanted: Namespace, found: Found) -> Iterator[Fault]:
    """The faults as they are found, mended where that is wanted and can be."""
    blobs = Blobs.of(store.settings, store.database)
    mender = Mender(store.database, blobs, wanted.source, repairs=wanted.repair)
    is_mended = wanted.repair or wanted.source is not None
    looked_at = faults(store.database, blobs, found, quick=wanted.quick, grace_s=wanted.grace_s)
    yield from map(mender.mend, looked_at) if is_mended else looked_at


def _tell(found: Found, left: list[Fault]) -> None:
    log.info(
        "%d digests that rows name, %d that have bytes (%.1f MiB, of which %.1f MiB were read):"
        " %d faults, %d of them left",
        *(found.named, found.stored, found.stored_bytes / _MIB, found.read_bytes / _MIB),
        *(len(found.faults), len(left)),
    )


def _shown(found: Found, left: list[Fault], *, is_all: bool) -> dict[str, Any]:
    return {
        "clean": is_all and not left,
        "complete": is_all,
        "named": found.named,
        "stored": found.stored,
        "stored_bytes": found.stored_bytes,
        "read_bytes": found.read_bytes,
        "faults": [fault.shown() for fault in found.faults],
    }


def _write(document: Any) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _options_of_gc(options: ArgumentParser) -> None:
    options.add_argument("--dry-run", action="store_true", help="say what would go; delete nothing")
    options.add_argument("--json", action="store_true", help="what would go, as JSON")


def _options_of_fsck(options: ArgumentParser) -> None:
    options.add_argument("--quick", action="store_true", help="believe the sizes; read no bytes")
    options.add_argument("--repair", action="store_true", help="mend what can be mended safely")
    options.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FOLDER",
        help="a backup, or another store's folder: brings lost bytes back, changes no row",
    )
    options.add_argument("--json", action="store_true", help="all of it, as JSON")
    options.add_argument(
        "--grace-s",
        type=float,
        default=GRACE_S,
        metavar="SECONDS",
        help="age at which bytes without a row are nobody's any more",
    )


COMMANDS = (
    Command("adopt", "take the blobs' place for this database alone", _adopt),
    Command("gc", "delete what no row names", _collect, _options_of_gc),
    Command("fsck", "whether rows and bytes agree; 1: not all do", _check, _options_of_fsck),
)
