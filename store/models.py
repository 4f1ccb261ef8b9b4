"""The rows. Every constraint that the semantics lean on is the database's own."""

from __future__ import annotations

import datetime as dt
import secrets
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.states import ChunkState, CycleState, Stage, VersionState

Json = dict[str, Any]

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 -- rows outlive their transaction
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own spelling
        str: Text(),
        dt.datetime: DateTime(timezone=True),
        Json: JSONB(none_as_null=True),
        list[str]: JSONB(none_as_null=True),
    }


def new_id(prefix: str) -> str:
    """An opaque id such as `chk_3f9c…` (80 random bits)."""
    return f"{prefix}_{secrets.token_hex(10)}"


def _state(kind: type[StrEnum], name: str) -> Enum:
    return Enum(
        kind,
        name=name,
        native_enum=False,
        length=20,
        create_constraint=True,
        values_callable=lambda members: [member.value for member in members],
    )


_now = func.clock_timestamp()


class Stream(Base):
    """One learning problem: one registered model with a growing line of versions."""

    __tablename__ = "streams"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    classes: Mapped[list[str] | None]  # in the order of the head; the first good chunk fixes it
    open_classes: Mapped[bool] = mapped_column(server_default=text("false"))  # the list may grow
    input: Mapped[Json | None]  # {channels, height, width}; the first good chunk fixes it
    normalisation: Mapped[Json | None]  # {mean, std}; fixed at the first claim
    architecture: Mapped[str]
    recipe: Mapped[Json]
    policies: Mapped[Json]
    seed: Mapped[int] = mapped_column(BigInteger)
    next_position: Mapped[int] = mapped_column(server_default="1")
    next_version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=_now)


class Chunk(Base):
    """One labelled upload and what became of it."""

    __tablename__ = "chunks"
    __table_args__ = (
        UniqueConstraint("stream_id", "position"),
        # the same bytes are the same chunk, unless the first is dead
        Index(
            "uq_chunks_live_digest",
            "stream_id",
            "digest",
            unique=True,
            postgresql_where=text("state NOT IN ('rejected', 'failed', 'retracted')"),
        ),
        Index("ix_chunks_stream_id_state", "stream_id", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"))
    position: Mapped[int]
    state: Mapped[ChunkState] = mapped_column(_state(ChunkState, "chunk_state"))
    digest: Mapped[str]  # sha256 of the payload as it was sent
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_digest: Mapped[str | None]  # sha256 of the canonical chunk file
    images: Mapped[int | None]
    refused: Mapped[int | None]
    report: Mapped[Json | None]
    error: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(server_default="0")  # the fence of admission
    deaths: Mapped[int] = mapped_column(server_default="0")
    heartbeat_at: Mapped[dt.datetime | None]
    cycle_id: Mapped[str | None] = mapped_column(ForeignKey("cycles.id"), index=True)
    version: Mapped[int | None]
    prequential_accuracy: Mapped[float | None]
    received_at: Mapped[dt.datetime] = mapped_column(server_default=_now)
    admitted_at: Mapped[dt.datetime | None]
    learned_at: Mapped[dt.datetime | None]
    served_at: Mapped[dt.datetime | None]


class Cycle(Base):
    """One pass of learn, or unlearn and relearn, over the chunks that it claimed."""

    __tablename__ = "cycles"
    __table_args__ = (
        Index(
            "uq_cycles_one_active",
            "stream_id",
            unique=True,
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index("ix_cycles_stream_id_number", "stream_id", "number"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)  # order of creation
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"))
    state: Mapped[CycleState] = mapped_column(_state(CycleState, "cycle_state"))
    stage: Mapped[Stage | None] = mapped_column(_state(Stage, "cycle_stage"))
    progress: Mapped[Json | None]
    strategy: Mapped[str]
    parent: Mapped[int | None]  # the champion when the cycle was claimed
    replay: Mapped[list[str]]  # ids of the learned chunks that are replayed, oldest first
    seed: Mapped[int] = mapped_column(BigInteger)
    ordinal: Mapped[int]  # 1 for the first of a lineage
    attempt: Mapped[int] = mapped_column(server_default="0")  # the fence; grows with each claim
    deaths: Mapped[int] = mapped_column(server_default="0")  # without progress in between
    exceptions: Mapped[int] = mapped_column(server_default="0")
    worker: Mapped[str | None]
    heartbeat_at: Mapped[dt.datetime | None]  # null: handed back on purpose, free at once
    resume_digest: Mapped[str | None]
    timings: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))  # stage: seconds
    stage_started_at: Mapped[dt.datetime | None]
    verdict: Mapped[Json | None]
    version: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=_now)
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]


class Version(Base):
    """An immutable checkpoint with its record."""

    __tablename__ = "versions"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cycle_id: Mapped[str] = mapped_column(ForeignKey("cycles.id"), unique=True)
    parent: Mapped[int | None]
    ordinal: Mapped[int]
    chunks: Mapped[list[str]]
    known_classes: Mapped[int | None]  # so many of the stream's, the first; null: all of them
    replayed: Mapped[Json | None]  # {kind, images, sha256}; null: made before this was kept
    strategy: Mapped[str]
    state: Mapped[VersionState] = mapped_column(_state(VersionState, "version_state"))
    metrics: Mapped[Json]
    verdict: Mapped[Json]
    unlearning: Mapped[Json | None]
    environment: Mapped[Json]  # seed, threads, precision and versions of libraries
    digest: Mapped[str]  # sha256 of the weights
    sidecar_digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=_now)
    served_at: Mapped[dt.datetime | None]


class Alias(Base):
    """A name that points at a version of its stream."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(["stream_id", "version"], ["versions.stream_id", "versions.version"]),
    )

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    hold: Mapped[bool] = mapped_column(server_default=text("false"))
    revision: Mapped[int] = mapped_column(server_default="1")  # the ETag
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=_now)


class AliasMove(Base):
    """History is never rewritten: a rollback is one more move."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index("ix_alias_moves_stream_id_alias", "stream_id", "alias", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"))
    alias: Mapped[str]
    from_version: Mapped[int | None]
    to_version: Mapped[int]
    hold: Mapped[bool]
    who: Mapped[str]
    reason: Mapped[str]
    at: Mapped[dt.datetime] = mapped_column(server_default=_now)


class Replica(Base):
    """The lease of one API process."""

    __tablename__ = "replicas"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[dt.datetime] = mapped_column(server_default=_now)
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=_now)


class Serving(Base):
    """The version of a stream that a replica has in its slot."""

    __tablename__ = "serving"

    replica_id: Mapped[str] = mapped_column(
        ForeignKey("replicas.id", ondelete="CASCADE"), primary_key=True
    )
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    version: Mapped[int]
    since: Mapped[dt.datetime] = mapped_column(server_default=_now)


class Event(Base):
    """What happened, in the order in which it became visible."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_stream_id_id", "stream_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    stream_id: Mapped[int | None] = mapped_column(ForeignKey("streams.id"))
    cycle_id: Mapped[str | None]
    data: Mapped[Json]
    at: Mapped[dt.datetime] = mapped_column(server_default=_now)


class Blob(Base):
    """What makes deletion safe: gc deletes bytes and row under this row's lock."""

    __tablename__ = "blobs"

    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    keep_s: Mapped[int]  # how long it is kept after the last touch though no row names it
    touched_at: Mapped[dt.datetime] = mapped_column(server_default=_now, index=True)


class Answer(Base):
    """The answer that an idempotency key was given, committed with the row that it speaks of."""

    __tablename__ = "answers"

    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int]
    location: Mapped[str]
    body: Mapped[Json]
    at: Mapped[dt.datetime] = mapped_column(server_default=_now, index=True)
