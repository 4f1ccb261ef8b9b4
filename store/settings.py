"""The settings that every process shares: `LURE_*` environment variables, or files of secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from store.secrets import SecretFiles, checked


class StoreSettings(BaseSettings):
    """Where the shared things live, and by which clocks they are judged alive."""

    model_config = SettingsConfigDict(env_prefix="LURE_", frozen=True)

    database_url: str = Field(description="PostgreSQL: postgresql+psycopg://user:password@host/db")
    redis_url: str = Field(description="Redis: redis://host:port/0, or redis+socket:///path")

    # where the bytes are
    blobs: str = Field(description="The content-addressed blobs: a folder, or s3://bucket/prefix")
    cache: Path = Field(
        Path("~/.cache/lure"),
        description="Folder of this machine for what is fetched from a bucket, and for uploads",
    )
    cache_bytes: int = Field(20 << 30, gt=0, description="Most bytes that were fetched and stay")
    min_free_bytes: int = Field(
        512 << 20, ge=0, description="Disk space that uploads leave free; the cache twice as much"
    )
    s3_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+/?$",
        description="S3-compatible store, such as http://minio:9000; unset: that of AWS. Only"
        " http:// allows connections without TLS",
    )
    s3_region: str | None = Field(None, description="Region of the bucket")
    s3_access_key_id: str | None = Field(
        None, description="Unset: the usual variables and services of AWS are asked"
    )
    s3_secret_access_key: str | None = Field(None, repr=False, description="Of that key")
    s3_virtual_hosted: bool = Field(
        default=False, description="The bucket's name in the host's; else it is in the path"
    )

    quota_bytes: int | None = Field(
        None, ge=0, description="Most bytes of all blobs; beyond them uploads are refused with 507"
    )

    heartbeat_s: float = Field(2.0, gt=0, description="Seconds between two heartbeats of a task")
    stale_s: float = Field(10.0, gt=0, description="Age at which a heartbeat counts as a death")
    sweep_s: float = Field(5.0, gt=0, description="Seconds between two sweeps")
    poll_s: float = Field(2.0, gt=0, description="Seconds between two looks for a new champion")
    gc_s: float = Field(60.0, gt=0, description="Seconds between two collections of garbage")
    max_members: int = Field(200_000, gt=0, description="Most images in one chunk")
    max_unpacked_bytes: int = Field(8 << 30, gt=0, description="Most bytes in one chunk, unpacked")
    audit_days: int = Field(365, gt=0, description="Days that the audit log is kept")
    model_packages: str = Field(
        default="",
        description="Models of one's own that streams may ask for, each as"
        " package.module:factory, comma-separated; a module or package allows everything in it;"
        " their code is run",
    )
    log_json: bool = Field(default=True, description="Logs as JSON lines; false for people")
    log_level: str = Field(default="INFO", description="Least level that is logged")
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="OpenTelemetry collector, OTLP over HTTP, such as http://collector:4318; unset:"
        " no spans are recorded",
    )

    webhook_private: bool = Field(
        default=False,
        description="Webhooks may call loopback and private addresses; safe only where whoever may"
        " make webhooks may reach all that the workers reach",
    )
    secrets_dir: Path | None = Field(
        None,
        description="Folder of files that hold settings, each named like its variable in lower"
        " case (lure_database_url); variables come before files",
    )

    @field_validator("blobs", mode="before")
    @classmethod
    def _place(cls, place: str | Path) -> str:
        return place_named(place)

    @model_validator(mode="after")
    def _whole_key(self) -> Self:
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("LURE_S3_ACCESS_KEY_ID and LURE_S3_SECRET_ACCESS_KEY go together")
        return self

    @field_validator("secrets_dir")
    @classmethod
    def _readable(cls, folder: Path | None) -> Path | None:
        return checked(folder) if folder is not None else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is said in code, then variables, then files of secrets."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    @property
    def packages(self) -> tuple[str, ...]:
        """What `model_packages` lists; nothing unless stated."""
        return tuple(name.strip() for name in self.model_packages.split(",") if name.strip())

    @property
    def redis_client_url(self) -> str:
        """The same server in redis-py's spelling; Celery says `redis+socket`, redis-py `unix`."""
        return self.redis_url.replace("redis+socket://", "unix://", 1)


def place_named(place: str | Path) -> str:
    """A folder's path, or a bucket's URL, if it can be one.

    Raises:
        ValueError: It is neither.
    """
    named = os.fspath(place)
    url = urlsplit(named)
    if "://" in named and (url.scheme != "s3" or not url.netloc or url.query or url.fragment):
        raise ValueError(f"must be a folder or s3://bucket/prefix, not {named}")
    return named


def faults(error: ValidationError) -> list[str]:
    """What is missing or wrong, a line each, by the names of the variables."""
    return [
        f"LURE_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
        for fault in error.errors()
    ]
