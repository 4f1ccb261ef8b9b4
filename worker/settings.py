"""The worker's settings: those that every process shares, and its own."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from store.settings import StoreSettings


class WorkerSettings(StoreSettings):
    """Read from `LURE_*` environment variables like the shared ones."""

    device: str = Field("auto", description="Where cycles run: auto, cpu, mps, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="Threads of one cycle; 0: by the size of its batches")
    # one cycle in several processes, see docs/scaling.md
    ranks: int = Field(
        1,
        ge=0,
        le=64,
        description="Processes that train one cycle together; 1: the worker's own alone; auto: one"
        " for each GPU that it sees",
    )
    rank_timeout_s: float = Field(
        600.0,
        gt=0,
        description="Seconds that a rank waits for another, which may have stopped; longer than"
        " LURE_PATIENCE_S",
    )
    nice: int = Field(10, ge=0, le=19, description="Niceness of the processes that admit and learn")
    resident_mib: int | None = Field(
        None,
        ge=0,
        description="Most MiB of training images that lie on the device, others are streamed from"
        " the disk; by its free memory unless set",
    )
    decoders: int = Field(2, ge=1, le=64, description="Images that one admission decodes at once")
    resume_every_s: float = Field(
        30.0, ge=0, description="Least seconds between two resume states within the relearning"
    )
    patience_s: float = Field(
        300.0, ge=0, description="Seconds that a task waits for a database that is away"
    )
    grace_s: float = Field(
        15.0, ge=0, description="Seconds that a worker told to stop waits for the end of an epoch"
    )
    admit_limit_s: float = Field(
        3600.0, gt=0, description="An admission that takes longer is killed, as if it had died"
    )
    export_limit_s: float = Field(
        600.0, gt=0, description="An export that takes longer is ended, as if it had died"
    )
    cycle_limit_s: float = Field(
        86_400.0, gt=0, description="A task of the cycle that takes longer is killed and resumed"
    )

    @field_validator("ranks", mode="before")
    @classmethod
    def _as_number(cls, ranks: Any) -> Any:
        """0 is "auto"."""
        return 0 if ranks == "auto" else ranks

    webhook_timeout_s: float = Field(
        10.0, gt=0, le=60, description="Longest time for one call to a webhook's receiver"
    )
    webhook_retry_s: float = Field(
        5.0,
        gt=0,
        description="Seconds before a call that failed is tried again; twice as long after each",
    )
    webhook_failures: int = Field(
        30, gt=0, description="Calls that fail in a row before a webhook is paused: about two days"
    )
