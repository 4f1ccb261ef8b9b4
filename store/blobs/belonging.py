"""A place belongs to one database, whose id it is marked with before the first bytes lie there.

What no row of one database names is garbage to it, so two on one place would delete each other's
bytes; and an empty folder where a disk should be mounted would take what nobody finds again. Both
look at the marks before they put or delete anything. Reading needs none: digests tell.
"""

from __future__ import annotations

import secrets

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert

from store.blobs.place import Place
from store.engine import Database
from store.errors import WrongPlace
from store.models import Blob, StoreIdentity
from store.schema import has

REMEDY = (
    "mount what should be there, or set LURE_BLOBS to the right place; or, if no other database"
    " uses this one, take it: `lure adopt`"
)


def settle(database: Database, place: Place) -> None:
    """Mark a new place; a database of the release before has no id, and marks none.

    Raises:
        WrongPlace: It is not this database's, or cannot be.
        DatabaseAway, BlobsAway: It cannot be told.
    """
    own = _made_id(database)
    if own is None or place.marks() == {own}:
        return
    words = fault(database, place)
    if place.marks() == {own}:  # another process was quicker
        return
    if words is not None:
        raise WrongPlace(f"{words}: {REMEDY}")
    place.mark(own)
    if others := place.marks() - {own}:  # the other leaves it too, and both try again
        place.unmark(own)
        raise WrongPlace(f"another database ({_told(others)}) takes the blobs' place just now")


def fault(database: Database, place: Place) -> str | None:
    """Why a place is not this database's; None if it is, or is free.

    Raises:
        DatabaseAway, BlobsAway: It cannot be told.
    """
    with database.begin() as session:
        if not has(session, StoreIdentity):
            return None
        own = session.scalar(select(StoreIdentity.id))
        has_rows = bool(session.scalar(select(exists(select(Blob.digest)))))
    marks = place.marks()
    if others := marks - {own}:
        return f"the blobs' place is of another database ({_told(others)})"
    if marks:
        return None
    has_bytes = next(iter(place.stored()), None) is not None
    if has_rows and not has_bytes:
        return "nothing lies in the blobs' place, and rows name bytes"
    if has_bytes and not has_rows:
        return "the blobs' place holds bytes, and this database knows of none"
    return None


def adopt(database: Database, place: Place) -> bool:
    """Make a place this database's, and no other's; False if its schema is too old for that.

    Raises:
        DatabaseAway, BlobsAway: Do it again.
    """
    own = _made_id(database)
    if own is None:
        return False
    place.mark(own)
    for other in place.marks() - {own}:
        place.unmark(other)
    return True


def _made_id(database: Database) -> str | None:
    """The database's own, made when it is first asked for."""
    with database.begin() as session:
        if not has(session, StoreIdentity):
            return None
        found = session.scalar(select(StoreIdentity.id))
        if found is None:
            new = insert(StoreIdentity).values(id=secrets.token_hex(16))
            session.execute(new.on_conflict_do_nothing())
            found = session.scalar(select(StoreIdentity.id))
        return found


def _told(marks: set[str]) -> str:
    return ", ".join(sorted(marks))
