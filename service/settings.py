"""The API's settings, read from `LURE_*` environment variables."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field, field_validator

from store.settings import StoreSettings

_MIB = 1 << 20


class ServiceSettings(StoreSettings):
    """What the API needs beyond the shared settings: where it listens and what it refuses."""

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on")
    processes: int = Field(1, gt=0, description="API processes behind the one port")
    threads: int = Field(20, gt=0, description="Threads for the database and the disk")
    shutdown_s: int = Field(10, gt=0, description="Seconds for open requests when it must stop")

    # who may come in, how often and with how much; see docs/security.md
    metrics_open: bool = Field(
        default=False, description="/metrics without a key where everything else needs one"
    )
    requests_per_minute: int = Field(
        0, ge=0, description="Of each key that has no limit of its own, all replicas; 0: any number"
    )
    failed_auths_per_minute: int = Field(
        60, ge=0, description="401 answers to an address in a minute, then 429; 0: any number"
    )
    max_connections: int = Field(1000, gt=0, description="Open connections of each process")
    max_head_bytes: int = Field(32 << 10, gt=0, description="Bytes of a request's line and headers")
    head_timeout_s: float = Field(10.0, gt=0, description="Longest time for these to come")
    unread_timeout_s: float = Field(
        30.0, gt=0, description="Longest time in which a client takes nothing of its answer"
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of proxies, comma-separated, whose X-Forwarded-For and"
        " -Proto count; else a client's address is that of its connection",
    )

    max_upload_bytes: int = Field(2048 * _MIB, gt=0, description="Largest chunk")
    upload_timeout_s: float = Field(3600.0, gt=0, description="Longest time for one upload")
    upload_idle_s: float = Field(30.0, gt=0, description="Longest silence within an upload")
    max_json_bytes: int = Field(_MIB, gt=0, description="Largest JSON body of the control plane")
    max_predict_bytes: int = Field(32 * _MIB, gt=0, description="Largest prediction request")
    max_predict_images: int = Field(256, gt=0, description="Most images in one prediction request")
    max_predict_pixels: int = Field(
        64_000_000, gt=0, description="Most pixels of all images in one prediction request"
    )
    predict_timeout_s: float = Field(
        30.0,
        gt=0,
        description="Longest time for a prediction once its body is there; see docs/serving.md",
    )
    predict_requests: int = Field(
        256, gt=0, description="Most predictions that are computed or wait for it, in each process"
    )
    predict_held_bytes: int = Field(
        256 * _MIB, gt=0, description="Bodies and pixels of all these predictions"
    )
    batch_images: int = Field(32, gt=0, description="Most images that are computed together")
    batch_values: int = Field(
        1 << 20,
        gt=0,
        description="Most pixels x channels that are computed together; a GPU gains from more",
    )
    batch_delay_ms: float = Field(
        0.0, ge=0, description="Longest wait for a batch to fill; it is never waited for nobody"
    )
    serve_device: str = Field("auto", description="Where versions answer: auto, cpu, cuda, cuda:N")
    serve_precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware has it and the top-1 is that of fp32"
    )
    pinned_versions: int = Field(
        4, ge=0, description="Versions that stay loaded beside the champions, in each process"
    )
    pinned_bytes: int = Field(1024 * _MIB, ge=0, description="Weights of all these versions")
    compute_threads: int = Field(
        1, gt=0, description="Batches that each process computes at once; they divide the cores"
    )
    body_timeout_s: float = Field(
        30.0, gt=0, description="Longest time for the body of a prediction or of JSON"
    )

    drain_bytes: int = Field(64 * _MIB, ge=0, description="Most that is read of a refused body")
    drain_s: float = Field(5.0, ge=0, description="Longest time for reading a refused body")

    @field_validator("trusted_proxies")
    @classmethod
    def _names_proxies(cls, told: str) -> str:
        """What is misspelt would count for nobody, and what is too wide lets anybody be anyone."""
        proxies = [one.strip() for one in told.split(",")] if told.strip() else []
        for one in proxies:
            try:
                network = ipaddress.ip_network(one)
            except ValueError as error:
                words = f"{one!r} is neither an address nor a network (10.0.0.5, 172.18.0.0/16)"
                raise ValueError(f"{words}: {error}") from None
            if network.prefixlen == 0:
                raise ValueError(f"{one} is everybody; name the proxies alone")
        return ",".join(proxies)
