"""What watches over the service: workers' leases, listeners outside, traces."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, ForeignKey, Identity, text
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Json, now


class WorkerLease(Base):
    """One worker process, as it told of itself last."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str]
    started_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    facts: Mapped[Json]  # device, memory, releases: what it tells of its machine


class StageTotal(Base):
    """The seconds that a stream's cycles have spent in a stage, over all of them."""

    __tablename__ = "stage_totals"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    cycles: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]


class Webhook(Base):
    """Somebody outside who is told of events, in their order; a cursor into them."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)  # order of creation
    url: Mapped[str]
    secret: Mapped[str]  # signs what is sent, so it cannot be kept as a hash
    stream: Mapped[str | None]  # null: all streams
    names: Mapped[list[str] | None]  # of events; null: all
    after_event: Mapped[int] = mapped_column(BigInteger)  # the last that needs no more telling
    delivered: Mapped[int] = mapped_column(BigInteger, server_default="0")  # over all its life
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")  # trials, likewise
    failures: Mapped[int] = mapped_column(server_default="0")  # since the last success
    next_try_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    attempt: Mapped[int] = mapped_column(server_default="0")  # the fence
    heartbeat_at: Mapped[dt.datetime | None]  # of who is telling it now
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    last_success_at: Mapped[dt.datetime | None]
    ping: Mapped[Json | None]  # a test that was asked for: {id, asked_at}; then its outcome
    is_paused: Mapped[bool] = mapped_column(server_default=text("false"))
    created_by: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=now)


class Trace(Base):
    """The W3C trace context that a row's further way belongs to."""

    __tablename__ = "traces"

    subject: Mapped[str] = mapped_column(primary_key=True)  # a chunk's or a cycle's id
    traceparent: Mapped[str]
    at: Mapped[dt.datetime] = mapped_column(server_default=now, index=True)
