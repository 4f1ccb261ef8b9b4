"""Chunks and their reports."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, Field

from service.schemas.common import spelled
from store.models import Chunk
from store.states import ChunkState


class ChunkShape(BaseModel):
    """One labelled upload and what became of it."""

    id: str
    stream: str
    position: int = Field(description="Its place in the stream's order")
    state: ChunkState
    images: int | None = Field(description="Images kept; null until it is admitted")
    refused: int | None = Field(description="Items refused, see the report")
    bytes: int
    digest: str = Field(description="Of the upload, `sha256:` and hexadecimal digits")
    media_type: str
    duplicate: bool | None = Field(
        None,
        description="Only in the answer to an upload: these bytes were here already",
        exclude_if=lambda duplicate: duplicate is None,
    )
    prequential_accuracy: float | None = Field(
        description="The champion's on these images, before they were learned"
    )
    cycle: str | None
    version: int | None = Field(description="The first version that has seen it")
    error: str | None
    received_at: dt.datetime
    admitted_at: dt.datetime | None
    learned_at: dt.datetime | None
    served_at: dt.datetime | None

    @classmethod
    def of(cls, chunk: Chunk, stream: str, *, duplicate: bool | None = None) -> ChunkShape:
        return cls(
            id=chunk.id,
            stream=stream,
            position=chunk.position,
            state=chunk.state,
            images=chunk.images,
            refused=chunk.refused,
            bytes=chunk.size_bytes,
            digest=spelled(chunk.digest),
            media_type=chunk.media_type,
            duplicate=duplicate,
            prequential_accuracy=chunk.prequential_accuracy,
            cycle=chunk.cycle_id,
            version=chunk.version,
            error=chunk.error,
            received_at=chunk.received_at,
            admitted_at=chunk.admitted_at,
            learned_at=chunk.learned_at,
            served_at=chunk.served_at,
        )


class RefusedItem(BaseModel):
    """One item that cannot be learned."""

    name: str
    reason: str


class ReportShape(BaseModel):
    """What admission found in a chunk."""

    chunk: str
    state: ChunkState
    error: str | None = Field(description="Why the chunk as a whole is rejected or failed")
    images: int = Field(description="Images kept")
    refused: int = Field(description="Items refused")
    classes: dict[str, int] = Field(description="Images kept of each class")
    unseen_classes: list[str] = Field(
        description="Labels that the stream's class list did not have: refused where it is fixed,"
        " kept where it is open"
    )
    splits: dict[str, int] = Field(description="Images in train, select and judge")
    items: list[RefusedItem] = Field(description="Items refused and why, a thousand at most")
    items_omitted: int = Field(description="Refused items that are not listed")

    @classmethod
    def of(cls, chunk: Chunk) -> ReportShape:
        """The stored report; a chunk that killed its decoders has an empty one."""
        blank = {
            "images": chunk.images or 0,
            "refused": chunk.refused or 0,
            "classes": {},
            "unseen_classes": [],
            "splits": {},
            "items": [],
            "items_omitted": 0,
        }
        known = {"chunk": chunk.id, "state": chunk.state, "error": chunk.error}
        return cls.model_validate(blank | (chunk.report or {}) | known)
