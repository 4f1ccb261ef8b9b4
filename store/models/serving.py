"""Who serves what, what was predicted, and what turned out to be true."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey
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
