"""A place belongs to one database, whose id it is marked with before the first bytes lie there.

What no row of one database names is garbage to it, so two on one place would delete each other's
bytes; and an empty folder where a disk should be mounted would take what nobody finds again. Both
look at the marks before they put or delete anything. Reading needs none: digests tell. A schema of
before has no id: it marks nothing, and goes on where nothing is marked.
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
    """Mark a new place.

    A mark is never taken back here: of two databases that mark a place at once, the one that looks
    later sees both, so no two can have seen themselves alone.

    Raises:
        WrongPlace: It is not this database's, or cannot be.
        DatabaseAway, BlobsAway: It cannot be told.
    """
    own = _made_id(database)
    marks = place.marks()
    if marks == {own}:
        return
    words = fault(database, place)
    if words is not None and place.marks() != {own}:  # another process may have been quicker
        raise WrongPlace(f"{words}: {REMEDY}")
    if own is not None:
        place.mark(own)
        if others := place.marks() - {own}:
            raise WrongPlace(f"{_of_others(others)}: {REMEDY}")


def fault(database: Database, place: Place) -> str | None:
    """Why a place is not this database's; None if it is, or is free.

    Raises:
        DatabaseAway, BlobsAway: It cannot be told.
    """
    with database.begin() as session:
        own = session.scalar(select(StoreIdentity.id)) if has(session, StoreIdentity) else None
        has_rows = bool(session.scalar(select(exists(select(Blob.digest)))))
    marks = place.marks()
    if others := marks - {own}:
        return _of_others(others)
    if marks:
        return None
    has_bytes = next(iter(place.stored()), None) is not None
    if has_rows and not has_bytes:
        return "nothing lies in the blobs' place, and rows name bytes"
    if has_bytes and not has_rows:
        return "the blobs' place holds bytes, and this database knows of none"
    return None


def adopt(database: Database, place: Place) -> None:
    """Make a place this database's, and no other's.

    Processes of the other that put bytes there before go on doing so; they must be stopped.

    Raises:
        DatabaseAway, BlobsAway: Do it again.
    """
    own = _made_id(database)
    if own is not None:
        place.mark(own)
    for other in place.marks() - {own}:
        place.unmark(other)


def _made_id(database: Database) -> str | None:
    """The database's own, made when it is first asked for; None: its schema knows of none."""
    with database.begin() as session:
        if not has(session, StoreIdentity):
            return None
        found = session.scalar(select(StoreIdentity.id))
        if found is None:
            new = insert(StoreIdentity).values(id=secrets.token_hex(16))
            session.execute(new.on_conflict_do_nothing())
            found = session.scalar(select(StoreIdentity.id))
        return found


def _of_others(marks: set[str]) -> str:
    return f"the blobs' place is of another database ({', '.join(sorted(marks))})"
