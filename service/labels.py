"""Labels that come after their predictions: each is judged by itself, all are written at once."""

from __future__ import annotations

from collections.abc import Sequence

from lure_core.archive.listing import class_name
from service.answered import Absent, Answered, Answers
from service.schemas.feedback import LabelShape, LabelWish, Outcome, Reason
from store import feedback, packs, streams
from store.engine import Database, Session
from store.models import Feedback, Stream


def give(
    database: Database, answers: Answers, stream: str, wishes: Sequence[LabelWish]
) -> list[LabelShape]:
    """Write what can be taken of the labels; what became of each, in their order.

    Raises:
        NotFound: There is no such stream.
        Conflict: It keeps no predictions.
    """
    ids = {wish.prediction_id for wish in wishes}
    found = answers.find(stream, ids)  # outside of the transaction: it reads files
    with database.begin() as session:
        row = streams.lock(session, streams.get(session, stream).id)
        ledger = _Ledger(session, row, ids, found)
        return [ledger.enter(wish) for wish in wishes]


class _Ledger:
    """The labels of one stream, whose row is locked: so nobody else writes or takes any."""

    def __init__(
        self,
        session: Session,
        stream: Stream,
        ids: set[str],
        found: dict[str, Answered | Absent],
    ) -> None:
        self._session = session
        self._stream = stream
        self._found = found
        self._rows = feedback.by_ids(session, stream, ids)
        named = {one.pack_id for one in found.values() if isinstance(one, Answered)}
        self._packs = packs.by_ids(session, named)

    def enter(self, wish: LabelWish) -> LabelShape:
        """Take one label, or refuse it."""
        name = wish.prediction_id
        label, fault = class_name(wish.label)
        if fault is not None:
            return _refused(name, Reason.BAD_LABEL, fault)
        listed = None if self._stream.open_classes else self._stream.classes
        if listed is not None and label not in listed:
            words = f"{label!r} is not in the stream's fixed class list"
            return _refused(name, Reason.NOT_IN_CLASSES, words)
        row = self._rows.get(name)
        if row is None:
            return self._add(name, label)
        if row.label == label:
            return LabelShape(prediction_id=name, outcome=Outcome.DUPLICATE)
        if row.chunk_id is not None:
            words = f"its image joined chunk {row.chunk_id} as {row.label!r}"
            return _refused(name, Reason.IN_CHUNK, words)
        row.label = label
        return LabelShape(prediction_id=name, outcome=Outcome.CORRECTED)

    def _add(self, name: str, label: str) -> LabelShape:
        found = self._found[name]
        if isinstance(found, Absent):
            return _refused(name, found.reason, found.detail)
        if found.pack_id not in self._packs:
            return _refused(name, Reason.EXPIRED, "its record expired in this moment")
        row = Feedback(
            stream_id=self._stream.id,
            prediction_id=name,
            pack_id=found.pack_id,
            version=found.version,
            answer=found.label,
            label=label,
        )
        self._session.add(row)
        self._rows[name] = row
        return LabelShape(prediction_id=name, outcome=Outcome.ACCEPTED)


def _refused(name: str, reason: Reason, detail: str) -> LabelShape:
    return LabelShape(prediction_id=name, outcome=Outcome.REFUSED, reason=reason, detail=detail)
