"""Where the blobs lie: may this user write there, is there room, does it give back what it got.

And is it this database's at all.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from store.blobs import belonging
from store.blobs.asking import untold
from store.blobs.opening import place_of
from store.blobs.place import FOLDER, MARKS
from store.checks.finding import Finding, State, failure, ok, skipped
from store.checks.machine import space
from store.engine import Database
from store.errors import Away, BlobDamaged, BlobMissing, BlobsAway
from store.settings import StoreSettings

_GIB = 1 << 30
_ROUND_TRIP = "blobs, round trip"
_OWNER = "blobs, owner"
_BUCKET = "s3://"


def examine(settings: StoreSettings) -> list[Finding]:
    """A folder that the processes share, or a bucket with a folder of this machine before it."""
    in_bucket = settings.blobs.startswith(_BUCKET)
    root = settings.cache if in_bucket else Path(settings.blobs)
    root = root.expanduser().absolute()
    if in_bucket and not root.exists():
        root = next(parent for parent in root.parents if parent.exists())
    name = "cache" if in_bucket else "blobs"
    if not root.is_dir():
        remedy = f"mkdir {root}, for the user that the processes run as; or correct LURE_BLOBS"
        others = (f"disk, {name}", _OWNER, _ROUND_TRIP)
        gone = [skipped(other, "there is no folder") for other in others]
        return [failure(name, f"{root} is no folder", remedy), *gone]
    permission = _permission(name, root)
    room = space(f"disk, {name}", root, few=10 * _GIB, least=_GIB // 2)
    if permission.state is State.FAILURE:
        closed = f"nothing can be written to {root}"
        return [permission, room, skipped(_OWNER, closed), skipped(_ROUND_TRIP, closed)]
    owner = _owner(settings)
    if owner.state is State.FAILURE:
        return [permission, room, owner, skipped(_ROUND_TRIP, "nothing is written there")]
    return [permission, room, owner, _round_trip(settings)]


def _permission(name: str, root: Path) -> Finding:
    closed = [
        str(path)
        for path in (root, *(root / inner for inner in ("incoming", FOLDER, MARKS, "trash")))
        if path.exists() and not os.access(path, os.R_OK | os.W_OK | os.X_OK)
    ]
    if closed:
        owner = root.stat().st_uid
        found = f"uid {os.geteuid()} may not write to {', '.join(closed)}, of uid {owner}"
        return failure(name, found, f"chown -R {os.geteuid()} {root}, or run as uid {owner}")
    return ok(name, f"{root} is this user's to write")


def _round_trip(settings: StoreSettings) -> Finding:
    """Some bytes there, back, and away; no row is written for them."""
    sent = secrets.token_bytes(4096)
    digest = hashlib.sha256(sent).hexdigest()
    try:
        place = place_of(settings, untold)
        try:
            place.put_bytes(sent, digest, is_new=True)
            place.check(digest)
        finally:
            place.forget(digest, place.discard(digest))
    except OSError as error:
        remedy = "see whether the disk is full, failing, or mounted to be read only"
        return failure(_ROUND_TRIP, error.strerror or str(error), remedy)
    except BlobsAway as error:
        remedy = "see LURE_BLOBS and LURE_S3_*; the key must be allowed to list, get, put, delete"
        return failure(_ROUND_TRIP, str(error), remedy)
    except (BlobMissing, BlobDamaged) as error:
        return failure(_ROUND_TRIP, f"what was written is not there: {error}", "trust it no more")
    return ok(_ROUND_TRIP, f"what is written to {settings.blobs} is read back")


def _owner(settings: StoreSettings) -> Finding:
    """Two databases on one place would delete each other's bytes."""
    database = Database(settings)
    try:
        words = belonging.fault(database, place_of(settings, untold))
    except (Away, OSError) as error:
        return skipped(_OWNER, str(error))
    finally:
        database.close()
    if words is None:
        return ok(_OWNER, f"{settings.blobs} is this database's, or free")
    return failure(_OWNER, words, belonging.REMEDY)
