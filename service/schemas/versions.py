"""Versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from service.schemas.common import spelled
from store.models import Version
from store.states import VersionState


class VersionShape(BaseModel):
    """An immutable checkpoint with its record."""

    version: int
    stream: str
    parent: int | None
    cycle: str
    chunks: list[str] = Field(description="Every chunk that it has seen")
    metrics: dict[str, Any] = Field(description="{accuracy, per_class, ece, images, correct, …}")
    strategy: str
    state: VersionState
    aliases: list[str] = Field(description="The names that point at it now")
    verdict: dict[str, Any] = Field(description="The gate's decision with its numbers")
    unlearning: dict[str, Any] | None
    environment: dict[str, Any] = Field(description="Seed, threads, precision, libraries")
    digest: str = Field(description="Of the weights, `sha256:` and hexadecimal digits")
    bytes: int
    created_at: dt.datetime
    served_at: dt.datetime | None

    @classmethod
    def of(cls, version: Version, stream: str, aliases: Sequence[str]) -> VersionShape:
        return cls(
            version=version.version,
            stream=stream,
            parent=version.parent,
            cycle=version.cycle_id,
            chunks=version.chunks,
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
