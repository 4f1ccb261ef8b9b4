"""`/metrics` for Prometheus: requests counted here, what is served, and the figures of the rows.

What the serving half counts for itself is in `service.counters`; `service.figures` reads the rows.
Every label is from a bounded set: routes by their template, methods and statuses that exist.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import cast

from fastapi import FastAPI, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.disk import Disk
from service.figures import RowFigures
from service.settings import ServiceSettings
from service.sharing import shared
from service.stored import StoredBytes
from service.threads import Threads
from service.watch import Watch

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


def install(app: FastAPI) -> None:
    """Count this app's requests and give it `/metrics`, in a registry of its own."""
    registry = CollectorRegistry(auto_describe=True)
    alone = shared() is None
    PlatformCollector(registry=registry)
    if alone:
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
    else:  # figures of one process, another at each scrape, would tell nothing
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Serving(app, alone=alone))
    settings: ServiceSettings = app.state.settings
    rows, disk, stored = RowFigures(app), Disk(settings), StoredBytes(app)
    for collector in (rows, disk, stored):
        registry.register(collector)
    app.add_middleware(_Counting, registry=registry if alone else None)
    writing = Threads("metrics", 1)

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures in Prometheus's text format, of all processes that share the socket."""
        app.state.watch.show()
        await asyncio.gather(rows.refresh(), disk.refresh(), stored.refresh())
        text = await writing.run(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Counting:
    """Counts requests by route, method and status, and the bytes of their bodies."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry | None) -> None:
        self._app = app
        labels = ["route", "method", "status"]
        self._requests = Counter(
            "lure_http_requests", "Requests answered", labels, registry=registry
        )
        self._seconds = Histogram(
            "lure_http_request_seconds",
            "Seconds until the answer began",
            labels[:2],
            buckets=_SECONDS,
            registry=registry,
        )
        self._bytes = Counter(
            "lure_http_request_body_bytes",
            "Bytes of request bodies; those of the chunks' route are the uploads",
            labels[:2],
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status, taken = 500, 0
        seconds: float | None = None

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message

        async def timed(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.monotonic() - began
            await send(message)

        try:
            await self._app(scope, counted, timed)
        finally:
            names = (_route(scope), scope["method"] if scope["method"] in _METHODS else "other")
            self._requests.labels(*names, str(status)).inc()
            self._seconds.labels(*names).observe(seconds or time.monotonic() - began)
            if taken:
                self._bytes.labels(*names).inc(taken)


def _route(scope: Scope) -> str:
    """The template, such as `/v1/streams/{stream}`; paths that lead nowhere share one name."""
    return cast(str, getattr(scope.get("route"), "path", None) or "none")


class _Serving(Collector):
    """What the serving half counts; several processes have most of it in their common files."""

    def __init__(self, app: FastAPI, *, alone: bool) -> None:
        self._app = app
        self._alone = alone

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        about = {"version": version("lure"), "python": platform.python_version()}
        yield InfoMetricFamily("lure_build", "The release that runs", value=about)
        watch: Watch | None = getattr(self._app.state, "watch", None)
        if watch is None:
            return
        yield from watch.counters.versions.collect()
        if self._alone:
            yield from watch.counters.collect()
            yield from watch.gauges.collect()
            yield from self._app.state.stowage.collect()
