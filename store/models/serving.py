"""Who serves what, what was predicted, and what turned out to be true."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, now


class Replica(Base):
    """The lease of one API process."""

    __tablename__ = "replicas"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=now)


class Serving(Base):
    """The version of a stream that a replica has in its slot."""

    __tablename__ = "serving"

    replica_id: Mapped[str] = mapped_column(
        ForeignKey("replicas.id", ondelete="CASCADE"), primary_key=True
    )
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    version: Mapped[int]
    since: Mapped[dt.datetime] = mapped_column(server_default=now)


class Pack(Base):
    """Predictions that one replica made of one stream in one moment, with their images, as a blob.

    A prediction's id names its pack and its place within: there is no row for each.
    """

    __tablename__ = "packs"
    __table_args__ = (Index("ix_packs_stream_id_made_at", "stream_id", "made_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"))
    digest: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    predictions: Mapped[int]
    made_at: Mapped[dt.datetime] = mapped_column(server_default=now)


class Feedback(Base):
    """What a prediction should have been."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index(
            "ix_feedback_open",
            "stream_id",
            "at",
            postgresql_where=text("chunk_id IS NULL AND pack_id IS NOT NULL"),
        ),
        Index("ix_feedback_stream_id_version", "stream_id", "version"),
        Index("ix_feedback_pack_id", "pack_id", postgresql_where=text("pack_id IS NOT NULL")),
    )

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    pack_id: Mapped[str | None] = mapped_column(ForeignKey("packs.id", ondelete="SET NULL"))
    version: Mapped[int]  # that predicted
    answer: Mapped[str]  # its label
    label: Mapped[str]  # the true one
    at: Mapped[dt.datetime] = mapped_column(server_default=now)
    chunk_id: Mapped[str | None] = mapped_column(ForeignKey("chunks.id"))  # that its image joined
