"""Which tables there are: a process may be newer than the database that it finds.

One release apart is borne: what an older schema does not have is left out until the migration has
run. Tables that came with the newest migration are used behind `has`.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.errors import SchemaOlder
from store.models import Base

_seen: set[type[Base]] = set()  # a table that is there stays


def has(session: Session, model: type[Base]) -> bool:
    """Whether the model's table is there; asked of the database until it is."""
    if model not in _seen:
        if session.scalar(select(func.to_regclass(model.__tablename__))) is None:
            return False
        _seen.add(model)
    return True


def require(session: Session, model: type[Base]) -> None:
    """For what makes no sense without the table.

    Raises:
        SchemaOlder: It is not there yet.
    """
    if not has(session, model):
        raise SchemaOlder(f"there is no table {model.__tablename__} yet; run the migration")
