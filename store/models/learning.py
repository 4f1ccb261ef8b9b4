"""Streams, and what is learned from: chunks, cycles, and cycles run again."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Json, now, one_of
from store.states import ChunkState, CycleState, RerunState, Stage


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
    revision: Mapped[int] = mapped_column(server_default="1")  # of recipe and policies: the ETag
    created_at: Mapped[dt.datetime] = mapped_column(server_default=now)


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
    state: Mapped[ChunkState] = mapped_column(one_of(ChunkState, "chunk_state"))
    digest: Mapped[str] = mapped_column(index=True)  # sha256 of the payload as it was sent
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_digest: Mapped[str | None] = mapped_column(index=True)  # of the canonical chunk file
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
    received_at: Mapped[dt.datetime] = mapped_column(server_default=now)
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
    state: Mapped[CycleState] = mapped_column(one_of(CycleState, "cycle_state"))
    stage: Mapped[Stage | None] = mapped_column(one_of(Stage, "cycle_stage"))
    progress: Mapped[Json | None]
    strategy: Mapped[str]
    settings: Mapped[Json | None]  # {recipe, policies} of its stream when it began
    parent: Mapped[int | None]  # the champion when the cycle was claimed
    replay: Mapped[list[str]]  # ids of the learned chunks that are replayed, oldest first
    seed: Mapped[int] = mapped_column(BigInteger)
    ordinal: Mapped[int]  # 1 for the first of a lineage
    attempt: Mapped[int] = mapped_column(server_default="0")  # the fence; grows with each claim
    deaths: Mapped[int] = mapped_column(server_default="0")  # without progress in between
    exceptions: Mapped[int] = mapped_column(server_default="0")
    worker: Mapped[str | None]
    heartbeat_at: Mapped[dt.datetime | None]  # null: handed back on purpose, free at once
    resume_digest: Mapped[str | None] = mapped_column(index=True)
    timings: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))  # stage: seconds
    stage_started_at: Mapped[dt.datetime | None]
    verdict: Mapped[Json | None]
    version: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]


class Rerun(Base):
    """The cycle of a version run once more: as it was, or otherwise; it never becomes a version."""

    __tablename__ = "reruns"
    __table_args__ = (
        ForeignKeyConstraint(["stream_id", "version"], ["versions.stream_id", "versions.version"]),
        # a counterfactual is trained once
        Index(
            "uq_reruns_counterfactual",
            "stream_id",
            "version",
            "method",
            unique=True,
            postgresql_where=text("reason = 'counterfactual'"),
        ),
        Index("ix_reruns_stream_id_number", "stream_id", "number"),
        Index("ix_reruns_state", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)  # order of creation
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"))
    version: Mapped[int]
    method: Mapped[str]  # "reproduce", or the strategy in place of the version's own
    reason: Mapped[str]  # "asked" or "counterfactual"
    state: Mapped[RerunState] = mapped_column(one_of(RerunState, "rerun_state"))
    progress: Mapped[Json | None]
    attempt: Mapped[int] = mapped_column(server_default="0")  # the fence; grows with each claim
    deaths: Mapped[int] = mapped_column(server_default="0")  # without progress in between
    exceptions: Mapped[int] = mapped_column(server_default="0")
    worker: Mapped[str | None]
    heartbeat_at: Mapped[dt.datetime | None]  # null: handed back on purpose, free at once
    resume_digest: Mapped[str | None] = mapped_column(index=True)
    result: Mapped[Json | None]  # metrics, seconds, FLOPs; of "reproduce" whether bits agree
    error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
