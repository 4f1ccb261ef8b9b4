"""Row locks, in one order everywhere: stream, cycle, version, chunk, alias, events last."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import Boolean, Select, func, select
from sqlalchemy.orm import Session

MIGRATION = 0x4D494752  # "MIGR": held by whoever changes the schema, see migrations/env.py
COLLECTION = 0x434F4C4C  # "COLL": shared by all collectors of garbage; alone, nothing is collected

Row = TypeVar("Row")


def locked(query: Select[Row], *, skip: bool = False) -> Select[Row]:
    """The query's rows, locked until the transaction ends and read anew.

    With `skip`, those that somebody else has locked are passed over.

    `FOR NO KEY UPDATE`: a foreign key that points at a locked row does not wait for it. With
    `FOR UPDATE`, one who locks a stream and points an alias at a version, and one who locks that
    version and writes a row of that stream, wait for each other.
    """
    return query.with_for_update(key_share=True, skip_locked=skip).execution_options(
        populate_existing=True
    )


def may_collect(session: Session) -> bool:
    """Whether bytes may be deleted until the transaction ends: not while a backup copies them."""
    query = select(func.pg_try_advisory_xact_lock_shared(COLLECTION, type_=Boolean))
    return session.scalars(query).one()
