"""Workers, as their leases tell of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import BaseModel, Field

from store.workers import Worker


class WorkerShape(BaseModel):
    """A worker process, as it told of itself last."""

    id: str
    queue: str = Field(description="`admit`, `learn`, or `admit+learn`", examples=["learn"])
    is_alive: bool = Field(description="Whether it renewed its lease within LURE_STALE_S")
    started_at: dt.datetime
    heartbeat_age_s: float = Field(description="Seconds since it renewed its lease")
    clock_offset_s: float | None = Field(description="Its clock ahead of the database's")
    facts: dict[str, Any] = Field(
        description="Host, process id, releases, device and its memory in bytes, as it knows them",
        examples=[{"host": "gpu-1", "pid": 7, "lure": "0.1.0", "device": "NVIDIA H200"}],
    )

    @classmethod
    def of(cls, worker: Worker, *, stale_s: float) -> WorkerShape:
        return cls(
            id=worker.id,
            queue=worker.queue,
            is_alive=worker.age_s <= stale_s,
            started_at=worker.started_at,
            heartbeat_age_s=worker.age_s,
            clock_offset_s=worker.clock_offset_s,
            facts=worker.facts,
        )


class Workers(BaseModel):
    """All that are known."""

    items: list[WorkerShape]
