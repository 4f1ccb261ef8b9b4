"""Swaps as clients and other replicas see them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from sqlalchemy import select

from store import replicas
from store.blobs import Blobs
from store.engine import Database
from store.models import Stream, Version
from store.settings import StoreSettings
from tests.digits import images, png
from tests.service.serving import (
    Running,
    digits_stream,
    learned,
    promote,
    running,
    service_settings,
    until,
)

URL = "/v1/streams/digits/predictions"
PNG = {"content-type": "image/png"}


@pytest.fixture
def stream(database: Database) -> Stream:
    return digits_stream(database)


@pytest.fixture
def two(database: Database, blobs: Blobs, stream: Stream) -> tuple[Version, Version]:
    """Two versions; the first is the champion."""
    first = learned(database, blobs, stream, seed=1)
    return first, learned(database, blobs, stream, seed=2, champion=False)


async def _ask_on(api: Running, client: httpx.AsyncClient, seen: dict[int, set[float]]) -> int:
    """Ask until the second version answers; how many answers came."""
    slots = api.app.state.watch.slots
    for count in range(1, 10_000):
        before = slots.champions()["digits"]
        answer = await client.post(URL, content=png(images[0]), headers=PNG)
        after = slots.champions()["digits"]
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["model_version"] in (before, after)
        seen[body["model_version"]].add(round(body["predictions"][0]["probability"], 5))
        if body["model_version"] == 2:
            return count
    raise AssertionError("the second version never answered")


def test_of_100_predictions_in_flight_across_a_swap_none_fails(
    settings: StoreSettings, database: Database, stream: Stream, two: tuple[Version, Version]
) -> None:
    seen: dict[int, set[float]] = {1: set(), 2: set()}

    async def scene(api: Running) -> list[int]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=api.url, limits=limits, timeout=60) as client:
            asking = [asyncio.create_task(_ask_on(api, client, seen)) for _ in range(100)]
            while not seen[1]:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(promote, database, stream, 2)
            return await asyncio.gather(*asking)

    with running(service_settings(settings)) as api:
        assert len(asyncio.run(scene(api))) == 100
    # one image, so one answer by each version: none was computed by the other one's model
    assert len(seen[1]) == len(seen[2]) == 1
    assert seen[1] != seen[2]


@contextmanager
def pair(settings: StoreSettings) -> Iterator[list[Running]]:
    with ExitStack() as stack:
        yield [stack.enter_context(running(service_settings(settings))) for _ in range(2)]


def _seconds_to_both(database: Database, stream: Stream, version: int) -> float:
    """Seconds from a promotion to both replicas' reports."""

    def told() -> list[int | None]:
        with database.begin() as session:
            return list(replicas.of_stream(session, stream, stale_s=60).values())

    promote(database, stream, version)
    began = time.monotonic()
    until(lambda: told() == [version, version])
    return time.monotonic() - began


def test_two_replicas_report_a_promotion_within_a_second_over_redis(
    settings: StoreSettings, database: Database, stream: Stream, two: tuple[Version, Version]
) -> None:
    # no poll falls into the test, so whatever is heard was heard over Redis
    deaf = settings.model_copy(update={"poll_s": 60.0, "stale_s": 120.0})
    with pair(deaf) as apis:
        until(lambda: all(api.client.get("/readyz").json()["degraded"] == [] for api in apis))
        tried_s = [_seconds_to_both(database, stream, version) for version in (2, 1, 2)]
        assert min(tried_s) < 1.0  # the machine may be busy with something else once or twice
        with database.begin() as session:
            served = session.scalars(select(Version.served_at).order_by(Version.version)).all()
        assert None not in served


def test_two_replicas_report_a_promotion_within_a_poll_without_redis(
    settings: StoreSettings, database: Database, stream: Stream, two: tuple[Version, Version]
) -> None:
    nowhere = "redis+socket:///tmp/nobody-is-here.sock"
    with pair(settings.model_copy(update={"redis_url": nowhere, "poll_s": 2.0})) as apis:
        assert all(api.client.get("/readyz").json()["degraded"] == ["redis"] for api in apis)
        tried_s = [_seconds_to_both(database, stream, version) for version in (2, 1, 2)]
        assert min(tried_s) < 2.5  # a poll, and the moment that loading takes
