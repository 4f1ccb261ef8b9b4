"""Reruns as they are asked for and shown."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lure_core.config import StrategyName
from service.schemas.common import spelled
from store.models import Rerun
from store.states import RerunState

Method = Literal["reproduce", StrategyName]  # flat: a union would be at fault once for each


class NewRerun(BaseModel):
    """In which way."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{}, {"method": "scratch"}]}
    )

    method: Method = Field(
        "reproduce", description="As it was; or the strategy to take in the place of its own"
    )


class Circumstance(BaseModel):
    """What is not as it was."""

    before: Any
    now: Any


class RerunResult(BaseModel):
    """What came out. The members on identity are null for another strategy."""

    identical: bool | None = Field(None, description="Whether the weights are the same bits")
    digest: str = Field(description="Of the rerun's weights")
    tensors: int | None = Field(None, description="Where they differ: how many tensors there are")
    differing_tensors: int | None = Field(None, description="…in how many a bit differs")
    max_difference: float | None = Field(None, description="…the furthest that two weights lie")
    agreement: float | None = Field(
        None, description="…the share of the judge images that both answer alike, 0…1"
    )
    circumstances: dict[str, Circumstance] = Field(
        description="By its name whatever bits may depend on and is not as it was"
    )
    metrics: dict[str, Any] = Field(description="On the judge images of the version's cycle")
    timings: dict[str, float] = Field(description="Seconds in each stage")
    images_per_s: float | None
    flops: dict[str, int] = Field(description="What was computed, by purpose")
    epochs: int
    best_epoch: int
    trained: int = Field(description="Images that went forward and backward")
    environment: dict[str, Any]

    @classmethod
    def of(cls, result: dict[str, Any]) -> RerunResult:
        return cls(**(result | {"digest": spelled(result["digest"])}))


class RerunShape(BaseModel):
    """The cycle of a version, run once more."""

    id: str
    stream: str
    version: int
    method: str
    reason: Literal["asked", "counterfactual"]
    state: RerunState
    progress: dict[str, Any] | None = Field(description="{stage, epoch, epochs, loss, …}")
    attempt: int = Field(description="How often it was claimed by a worker")
    result: RerunResult | None
    error: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    @classmethod
    def of(cls, rerun: Rerun, stream: str) -> RerunShape:
        return cls(
            id=rerun.id,
            stream=stream,
            version=rerun.version,
            method=rerun.method,
            reason=rerun.reason,
            state=rerun.state,
            progress=rerun.progress,
            attempt=rerun.attempt,
            result=None if rerun.result is None else RerunResult.of(rerun.result),
            error=rerun.error,
            created_at=rerun.created_at,
            started_at=rerun.started_at,
            finished_at=rerun.finished_at,
        )
