"""What happened, which bytes there are, and which answers were given."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text, true
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Json, now


class Event(Base):
    """What happened, in the order in which it became visible."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_stream_id_id", "stream_id", "id"),
        Index("ix_events_progress", "id", postgresql_where=text("name = 'cycle.progress'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    stream_id: Mapped[int | None] = mapped_column(ForeignKey("streams.id"))
    cycle_id: Mapped[str | None]
    data: Mapped[Json]
    at: Mapped[dt.datetime] = mapped_column(server_default=now)


class Blob(Base):
    """What makes deletion safe: gc deletes bytes and row under this row's lock."""

    __tablename__ = "blobs"

    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    keep_s: Mapped[int]  # how long it is kept after the last touch though no row names it
    touched_at: Mapped[dt.datetime] = mapped_column(server_default=now, index=True)


class StoreIdentity(Base):
    """What the blobs' place is marked with; one row, made when it is first asked for."""

    __tablename__ = "store_identity"
    __table_args__ = (CheckConstraint("is_one", name="one_row"),)

    is_one: Mapped[bool] = mapped_column(primary_key=True, server_default=true())
    id: Mapped[str]


class Answer(Base):
    """The answer that an idempotency key was given, committed with the row that it speaks of."""

    __tablename__ = "answers"

    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int]
    location: Mapped[str]
    body: Mapped[Json]
    at: Mapped[dt.datetime] = mapped_column(server_default=now, index=True)
