"""Pages of rows, newest first; the token is the sort key of the last row shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows and, where there are more, the key to go on from."""

    items: Sequence[Row]
    next_key: int | None


def fetch(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[int],
    *,
    size: int,
    before: int | None,
) -> Page[Row]:
    """The `size` rows of `query` with the highest `key` below `before`."""
    if before is not None:
        query = query.where(key < before)
    rows: Sequence[Any] = session.scalars(query.order_by(key.desc()).limit(size + 1)).all()
    more = len(rows) > size
    shown = rows[:size]
    return Page(shown, getattr(shown[-1], key.key) if more else None)
