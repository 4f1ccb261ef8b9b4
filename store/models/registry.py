"""Versions, the names that point at them, and what is exported of them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Json, now, one_of
from store.states import ArtifactState, VersionState


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
    state: Mapped[VersionState] = mapped_column(one_of(VersionState, "version_state"))
    metrics: Mapped[Json]
    # out of metrics and verdict, which are large: these are asked of many versions, and often
    accuracy: Mapped[float | None] = mapped_column(
        Computed("(metrics ->> 'accuracy')::double precision", persisted=True)
    )
    agreement: Mapped[Json | None] = mapped_column(  # of bf16 with fp32; null: not measured
        Computed("metrics -> 'agreement'", persisted=True)
    )
    judged: Mapped[int | None] = mapped_column(
        Computed("(metrics ->> 'images')::integer", persisted=True)
    )
    correct: Mapped[int | None] = mapped_column(
        Computed("(metrics ->> 'correct')::integer", persisted=True)
    )
    verdict: Mapped[Json]
    outcome: Mapped[str | None] = mapped_column(Computed("verdict ->> 'outcome'", persisted=True))
    unlearning: Mapped[Json | None]
    # packed bits of what was reset; null: none, or not kept then
    mask_digest: Mapped[str | None] = mapped_column(index=True)
    # how it does on each chunk, see `scores`; null: made before this was kept
    scores_digest: Mapped[str | None] = mapped_column(index=True)
    config: Mapped[Json | None]  # its cycle's, for reruns; null: made before this was kept
    environment: Mapped[Json]  # seed, threads, precision and versions of libraries
    digest: Mapped[str] = mapped_column(index=True)  # sha256 of the weights
    sidecar_digest: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=now)
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
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=now)


class AliasMove(Base):
    """History is never rewritten: a rollback is one more move."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index("ix_alias_moves_stream_id_alias", "stream_id", "alias", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"))
    alias: Mapped[str]
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]  # null: the alias was deleted
    hold: Mapped[bool]
    who: Mapped[str]
    reason: Mapped[str]
    at: Mapped[dt.datetime] = mapped_column(server_default=now)


class Artifact(Base):
    """A version in another format, made when first asked for."""

    __tablename__ = "artifacts"
    __table_args__ = (
        ForeignKeyConstraint(["stream_id", "version"], ["versions.stream_id", "versions.version"]),
    )

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[ArtifactState] = mapped_column(one_of(ArtifactState, "artifact_state"))
    attempt: Mapped[int] = mapped_column(server_default="0")  # the fence
    deaths: Mapped[int] = mapped_column(server_default="0")
    heartbeat_at: Mapped[dt.datetime | None]
    digest: Mapped[str | None] = mapped_column(index=True)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    report: Mapped[Json | None]  # how far it agrees with the version, on how many images
    error: Mapped[str | None]
    requested_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    made_at: Mapped[dt.datetime | None]
