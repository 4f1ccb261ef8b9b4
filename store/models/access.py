"""Who may do what, and what was done."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Json, now


class ApiKey(Base):
    """A key's record. The key itself is random and is not kept, only its hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)  # order of creation
    name: Mapped[str]  # who acts, in histories and in the audit log
    digest: Mapped[str] = mapped_column(unique=True)  # sha256 of 256 random bits
    hint: Mapped[str]  # the key's first characters, to recognise it by
    scopes: Mapped[list[str]]
    stream: Mapped[str | None]  # the only stream that it opens; null: all
    requests_per_minute: Mapped[int | None]  # null: as the settings say
    created_by: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=now)
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]


class AuditEntry(Base):
    """Something that was asked for and that changes what others see; never rewritten."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_stream_id", "stream", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(server_default=now, index=True)
    who: Mapped[str]  # the key's name
    key_id: Mapped[str | None]
    action: Mapped[str]  # the operation's name in the OpenAPI document
    stream: Mapped[str | None]
    target: Mapped[str]  # the path
    status: Mapped[int]
    request_id: Mapped[str]
    address: Mapped[str | None]
    data: Mapped[Json | None]
