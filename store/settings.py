"""The settings that every process shares, read from `LURE_*` environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """Where the shared things live, and by which clocks they are judged alive."""

    model_config = SettingsConfigDict(env_prefix="LURE_", frozen=True)

    database_url: str = Field(description="PostgreSQL: postgresql+psycopg://user:password@host/db")
    redis_url: str = Field(description="Redis: redis://host:port/0, or redis+socket:///path")
    blobs: Path = Field(description="Folder of the content-addressed blobs")

    heartbeat_s: float = Field(2.0, gt=0, description="Seconds between two heartbeats of a task")
    stale_s: float = Field(10.0, gt=0, description="Age at which a heartbeat counts as a death")
    sweep_s: float = Field(5.0, gt=0, description="Seconds between two sweeps")
    poll_s: float = Field(2.0, gt=0, description="Seconds between two looks for a new champion")
    gc_s: float = Field(60.0, gt=0, description="Seconds between two collections of garbage")
    max_members: int = Field(200_000, gt=0, description="Most images in one chunk")
    max_unpacked_bytes: int = Field(8 << 30, gt=0, description="Most bytes in one chunk, unpacked")
    model_packages: str = Field(
        default="",
        description="Models of one's own that streams may ask for, each as"
        " package.module:factory, comma-separated; a module or package allows everything in it;"
        " their code is run",
    )
    log_json: bool = Field(default=True, description="Logs as JSON lines; false for people")
    log_level: str = Field(default="INFO", description="Least level that is logged")

    @property
    def packages(self) -> tuple[str, ...]:
        """What `model_packages` lists; nothing unless stated."""
        return tuple(name.strip() for name in self.model_packages.split(",") if name.strip())

    @property
    def redis_client_url(self) -> str:
        """The same server in redis-py's spelling; Celery says `redis+socket`, redis-py `unix`."""
        return self.redis_url.replace("redis+socket://", "unix://", 1)
