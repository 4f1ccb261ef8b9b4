"""Idempotency keys: the answer is committed with the row that it speaks of.

So there is no state in between: whoever comes with the same key either finds the answer or waits,
at the unique constraint, for the transaction that is writing it.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.errors import KeyReused
from store.models import Answer

KEEP = dt.timedelta(days=7)


def find(session: Session, *, scope: str, key: str, fingerprint: str) -> Answer | None:
    """The answer that this key was given before.

    Raises:
        KeyReused: The key was used with another payload.
    """
    answer = session.get(Answer, (scope, key), populate_existing=True)
    if answer is not None and answer.fingerprint != fingerprint:
        raise KeyReused(f"idempotency key {key!r} was used with another payload before")
    return answer


def keep(session: Session, answer: Answer) -> Answer:
    """Store the answer; should the same key have been answered meanwhile, return that answer.

    Raises:
        KeyReused: The key was used with another payload meanwhile.
    """
    fields = ("scope", "key", "fingerprint", "status", "location", "body")
    values = {field: getattr(answer, field) for field in fields}
    session.execute(insert(Answer).values(**values).on_conflict_do_nothing())
    kept = find(session, scope=answer.scope, key=answer.key, fingerprint=answer.fingerprint)
    assert kept is not None
    return kept


def forget_old(session: Session) -> None:
    """Drop the answers that nobody will ask for again."""
    session.execute(delete(Answer).where(Answer.at < func.clock_timestamp() - KEEP))
