"""Cycles."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from store.models import Cycle
from store.states import CycleState, Stage


class CycleShape(BaseModel):
    """One pass of learn, or unlearn and relearn."""

    id: str
    stream: str
    chunks: list[str] = Field(description="The chunks that it learns")
    state: CycleState
    stage: Stage | None
    progress: dict[str, Any] | None = Field(description="{stage, epoch, epochs, loss, …}")
    attempt: int = Field(description="How often it was claimed by a worker")
    strategy: str
    parent: int | None = Field(description="The version that it starts from")
    verdict: dict[str, Any] | None = Field(description="The gate's decision with its numbers")
    version: int | None = Field(description="The version that it made")
    timings: dict[str, float] = Field(description="Seconds in each stage")
    error: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    @classmethod
    def of(cls, cycle: Cycle, stream: str, chunks: Sequence[str]) -> CycleShape:
        return cls(
            id=cycle.id,
            stream=stream,
            chunks=list(chunks),
            state=cycle.state,
            stage=cycle.stage,
            progress=cycle.progress,
            attempt=cycle.attempt,
            strategy=cycle.strategy,
            parent=cycle.parent,
            verdict=cycle.verdict,
            version=cycle.version,
            timings=cycle.timings,
            error=cycle.error,
            created_at=cycle.created_at,
            started_at=cycle.started_at,
            finished_at=cycle.finished_at,
        )
