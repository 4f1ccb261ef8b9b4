from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.ratelimit import RateLimits
from store.keys import ADMIN, READ
from store.settings import StoreSettings
from tests.conftest import Servers, settings_for
from tests.service.access.conftest import Closed, closed_service, shown
from tests.service.control import problem
from tests.service.serving import running, service_settings


@pytest.fixture(scope="module")
def closed(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("limited")
    with closed_service(servers, folder, failed_auths_per_minute=5) as service:
        yield service


def test_two_processes_count_together(servers: Servers, settings: StoreSettings) -> None:
    async def scene() -> list[bool]:
        both = [RateLimits(settings), RateLimits(settings)]
        try:
            return [(await both[k % 2].hit("key", "together", 6)).is_within for k in range(8)]
        finally:
            for one in both:
                await one.close()

    assert asyncio.run(scene()) == [True] * 6 + [False] * 2


def test_one_says_what_is_left(servers: Servers, settings: StoreSettings) -> None:
    async def scene() -> list[int]:
        limits = RateLimits(settings)
        try:
            return [(await limits.hit("key", "left", 3)).remaining for _ in range(4)]
        finally:
            await limits.close()

    assert asyncio.run(scene()) == [2, 1, 0, 0]


def test_without_redis_each_process_counts_for_itself(
    servers: Servers, settings: StoreSettings
) -> None:
    async def scene() -> list[bool]:
        limits = RateLimits(settings)
        try:
            return [(await limits.hit("key", "alone", 2)).is_within for _ in range(3)]
        finally:
            await limits.close()

    servers.redis.kill()
    try:
        assert asyncio.run(scene()) == [True, True, False]
    finally:
        servers.redis.start()


def test_a_key_has_its_limit_over_all_replicas(
    closed: Closed, servers: Servers, tmp_path: Path
) -> None:
    _, text = closed.make(READ, requests_per_minute=4)
    settings = settings_for(servers, tmp_path / "blobs")
    with running(service_settings(settings)) as second:
        clients = [closed.api.client, second.client]
        answers = [clients[k % 2].get("/v1/streams", headers=shown(text)) for k in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    first, last = answers[0], answers[-1]
    assert first.headers["ratelimit-policy"] == '"key";q=4;w=60'
    assert re.fullmatch(r'"key";r=3;t=\d+', first.headers["ratelimit"])
    problem(last, 429, "rate-limited")
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["ratelimit"].startswith('"key";r=0')


def test_what_is_refused_counts_too(closed: Closed) -> None:
    _, text = closed.make(READ, requests_per_minute=2)
    statuses = [closed.ask(text, "POST", "/v1/streams").status_code for _ in range(3)]
    assert statuses == [403, 403, 429]


def test_a_key_without_a_limit_is_not_counted(closed: Closed) -> None:
    answer = closed.ask(closed.admin, "GET", "/v1/streams")
    assert "ratelimit" not in answer.headers


def test_a_setting_limits_the_keys_without_one(
    closed: Closed, servers: Servers, tmp_path: Path
) -> None:
    _, text = closed.make(ADMIN)
    settings = settings_for(servers, tmp_path / "blobs")
    with running(service_settings(settings, requests_per_minute=2)) as api:
        statuses = [api.client.get("/v1/keys", headers=shown(text)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_failures_are_counted_by_address_and_shut_no_valid_key_out(closed: Closed) -> None:
    answers = [closed.ask(None, "GET", "/v1/streams") for _ in range(7)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"]
    assert closed.ask(closed.admin, "GET", "/v1/streams").status_code == 200
