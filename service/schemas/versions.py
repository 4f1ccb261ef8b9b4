"""Versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from service.schemas.common import spelled
from store.classes import of_version
from store.models import Stream, Version
from store.states import VersionState


class VersionShape(BaseModel):
    """An immutable checkpoint with its record."""

    version: int
    stream: str
    parent: int | None
    cycle: str
    chunks: list[str] = Field(description="The chunks that its cycle learned")
    classes: list[str] = Field(
        description="Those that it knows, in the order of its head: the first of the stream's"
    )
    metrics: dict[str, Any] = Field(description="{accuracy, per_class, ece, images, correct, …}")
    strategy: str
    state: VersionState
    aliases: list[str] = Field(description="The names that point at it now")
    verdict: dict[str, Any] = Field(description="The gate's decision with its numbers")
    replayed: dict[str, Any] | None = Field(
        description="What was learned again: {kind, images, sha256}, how many images of earlier"
        " chunks and a digest that names them; null: made before this was recorded"
    )
    unlearning: dict[str, Any] | None
    environment: dict[str, Any] = Field(
        description="Seed, threads, precision, libraries; seconds and FLOPs by purpose"
    )
    digest: str = Field(description="Of the weights, `sha256:` and hexadecimal digits")
    bytes: int
    created_at: dt.datetime
    served_at: dt.datetime | None

    @classmethod
    def of(cls, version: Version, stream: Stream, aliases: Sequence[str]) -> VersionShape:
        return cls(
            version=version.version,
            stream=stream.name,
            parent=version.parent,
            cycle=version.cycle_id,
            chunks=version.chunks,
            classes=of_version(stream, version),
            replayed=version.replayed,
            metrics=version.metrics,
            strategy=version.strategy,
            state=version.state,
            aliases=list(aliases),
            verdict=version.verdict,
            unlearning=version.unlearning,
            environment=version.environment,
            digest=spelled(version.digest),
            bytes=version.size_bytes,
            created_at=version.created_at,
            served_at=version.served_at,
        )
