"""Redis as `lure doctor` sees it, with each fault planted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lure.servers import Redis
from store.checks.finding import State
from store.checks.redis_server import examine
from store.settings import StoreSettings
from tests.store.checks.reading import finding_of, state_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of its own, to be set wrongly."""
    with Redis(tmp_path_factory.mktemp("doctor") / "redis") as server:
        yield server


@pytest.fixture
def own(server: Redis, settings: StoreSettings) -> Iterator[StoreSettings]:
    own = settings.model_copy(update={"redis_url": server.url})
    yield own
    set_to(own, "noeviction", most=0)


def set_to(settings: StoreSettings, policy: str, *, most: int) -> None:
    with redis.Redis.from_url(settings.redis_client_url) as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", most)


def test_all_is_well(own: StoreSettings) -> None:
    assert [finding.state for finding in examine(own)] == [State.OK, State.OK]


def test_a_redis_that_throws_away_is_a_failure(own: StoreSettings) -> None:
    set_to(own, "allkeys-lru", most=0)
    found = finding_of(examine(own), "redis policy")
    assert found.state is State.FAILURE
    assert "noeviction" in found.remedy


def test_a_redis_that_is_nearly_full_is_told(own: StoreSettings) -> None:
    set_to(own, "noeviction", most=1 << 20)
    assert state_of(examine(own), "redis policy") is State.WARNING


def test_a_dead_redis_is_one_failure(settings: StoreSettings, tmp_path: Path) -> None:
    dead = settings.model_copy(update={"redis_url": f"redis+socket://{tmp_path}/none.sock"})
    first, second = examine(dead)
    assert (first.state, second.state) == (State.FAILURE, State.SKIPPED)
    assert "LURE_REDIS_URL" in first.remedy
