"""The API as one object: `create_app(settings)` builds it, its lifespan opens what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import anyio
import anyio.to_thread
from fastapi import FastAPI

from service import described, document, metrics, openapi, problems
from service.access import route as guarded
from service.access.gate import Gate
from service.answered import Answers
from service.api import (
    aliases,
    artifacts,
    audit,
    chunks,
    cycles,
    events,
    feedback,
    health,
    inference_v2,
    keys,
    known,
    lineage,
    models_v2,
    predictions,
    reruns,
    streams,
    unlearning,
    versions,
    webhooks,
    workers,
)
from service.api import metrics as stream_metrics
from service.batcher import Limits
from service.hardening import SafeHeaders
from service.loader import Manner
from service.middleware import Drain, RequestContext
from service.oip.statistics import Statistics
from service.predict import Capacity
from service.queue import Queue
from service.ratelimit import RateLimits
from service.settings import ServiceSettings
from service.slot import Room
from service.space import Space
from service.stowage import Stowage
from service.watch import Watch
from store.blobs import Blobs
from store.bus import Bell
from store.engine import Database

_CHECKS = 2  # archives whose listing is read at once
_ROUTERS = (  # tried in this order: what is asked most comes first
    predictions.router,
    inference_v2.router,
    streams.router,
    chunks.router,
    cycles.router,
    versions.router,
    reruns.router,
    unlearning.router,
    lineage.router,
    stream_metrics.router,
    aliases.router,
    feedback.router,
    artifacts.router,
    models_v2.router,
    known.router,
    events.router,
    keys.router,
    audit.router,
    webhooks.router,
    workers.router,
    health.router,
)


def create_app(settings: ServiceSettings) -> FastAPI:
    """The application; nothing is opened before its lifespan begins."""
    app = FastAPI(
        title="LURE",
        version=version("lure"),
        summary="Keeps image classifiers fresh while labelled data arrives in chunks.",
        lifespan=_lifespan,
        redirect_slashes=False,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.state.statistics = Statistics()
    app.state.stowage = Stowage()
    app.router.route_class = guarded.GuardedRoute
    problems.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    metrics.install(app)
    app.add_middleware(Drain, max_bytes=settings.drain_bytes, timeout_s=settings.drain_s)
    app.add_middleware(RequestContext)
    app.add_middleware(SafeHeaders)  # the last one added is the outermost
    guarded.check(app)
    openapi.install(app)
    described.install(app)
    document.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: ServiceSettings = app.state.settings
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
    async with AsyncExitStack() as opened:
        bell = Bell(settings)
        opened.callback(bell.close)

        def tell(events: list[str]) -> None:
            watch.note(events)
            bell.ring(events)

        database = Database(settings, on_events=tell)
        opened.callback(database.close)
        blobs = Blobs.of(settings, database, app.state.stowage.asked)
        queue = Queue(settings)
        opened.callback(queue.close)
        capacity = _capacity(settings)
        watch = Watch(
            settings=settings,
            database=database,
            blobs=blobs,
            capacity=capacity,
            manner=_manner(settings, capacity),
            room=Room(settings.pinned_versions, settings.pinned_bytes),
        )
        await watch.start()
        opened.push_async_callback(watch.stop)
        app.state.database, app.state.blobs = database, blobs
        app.state.queue, app.state.watch = queue, watch
        app.state.answers = Answers(database, blobs, watch.recorder)
        limits = RateLimits(settings)
        opened.push_async_callback(limits.close)
        app.state.gate = Gate(settings, keeper=watch.keeper, limits=limits)
        app.state.space = Space(settings, database, blobs, app.state.stowage)
        app.state.checks = anyio.CapacityLimiter(_CHECKS)
        yield


def _manner(settings: ServiceSettings, capacity: Capacity) -> Manner:
    return Manner(
        device=settings.serve_device,
        precision=settings.serve_precision,
        packages=settings.packages,
        threads=capacity.share,
    )


def _capacity(settings: ServiceSettings) -> Capacity:
    return Capacity(
        requests=settings.predict_requests,
        held_bytes=settings.predict_held_bytes,
        computing=settings.compute_threads,
        batch=Limits(
            images=settings.batch_images,
            values=settings.batch_values,
            delay_s=settings.batch_delay_ms / 1000,
        ),
    )
