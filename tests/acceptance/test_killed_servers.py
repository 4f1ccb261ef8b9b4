"""Redis may forget everything and PostgreSQL may crash: work waits, predictions do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from lure.servers import Postgres
from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_for
from tests.digits import images, png

SLOWER = {"epochs": 30, "batch_size": 32, "augmentation": "none"}


@dataclass
class Fragile:
    """A world whose PostgreSQL is its own."""

    postgres: Postgres
    api: Api

    @property
    def world(self) -> World:
        return self.api.world


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    folder = tmp_path_factory.mktemp("fragile")
    with Postgres(folder / "postgres") as postgres:
        world = World(postgres, folder)
        world.admit()
        world.learn()
        world.beat()
        yield Fragile(postgres, world.api())
        world.close()


def relearning(api: Api, stream: str) -> bool:
    cycles = api.client.cycles(stream)["items"]
    return bool(cycles) and cycles[0]["stage"] == "relearn"


def test_redis_killed_and_flushed_in_mid_cycle(fragile: Fragile) -> None:
    api = fragile.api
    stream = api.create_stream(recipe=SLOWER)
    chunks = [api.push_digits(stream, 0)]
    wait_for(lambda: relearning(api, stream), "the cycle to learn", fragile.world)
    fragile.world.redis.kill()
    chunks.append(api.push_digits(stream, 60))  # accepted while there is no Redis
    fragile.world.redis.start()
    api.wait_learned(stream, *chunks)
    check_learned_once_in_order(api.client, stream, chunks)
    check_no_bytes_are_missing(fragile.world)


def test_postgresql_crashes_in_mid_cycle(fragile: Fragile) -> None:
    api = fragile.api
    stream = api.create_stream(recipe=SLOWER)
    chunks = [api.push_digits(stream, 0), api.push_digits(stream, 60)]
    wait_for(lambda: relearning(api, stream), "the cycle to learn", fragile.world)
    fragile.postgres.kill()
    fragile.postgres.start()
    wait_for(lambda: answers(api, stream), "the API to find the database again", fragile.world)
    api.wait_learned(stream, *chunks)
    check_learned_once_in_order(api.client, stream, chunks)
    check_no_bytes_are_missing(fragile.world)
    assert all(c["error"] is None for c in api.client.cycles(stream)["items"])


def test_predictions_go_on_while_both_are_away(fragile: Fragile) -> None:
    api = fragile.api
    stream = api.create_stream()
    api.wait_learned(stream, api.push_digits(stream, 0))
    api.wait_serving(stream, 1)
    fragile.world.redis.kill()
    fragile.postgres.kill()
    try:
        for index in range(20):
            answer = api.client.predict(stream, [png(images[index])])
            assert answer["model_version"] == 1
        wait_for(lambda: degraded(api) == {"database", "redis"}, "both noticed", fragile.world)
        refused = httpx.post(f"{api.url}/v1/streams", json={"name": "later"}, timeout=30)
        assert refused.status_code == 503
        assert "Retry-After" in refused.headers
    finally:
        fragile.postgres.start()
        fragile.world.redis.start()
    wait_for(lambda: answers(api, stream), "the API to find the database again", fragile.world)


def degraded(api: Api) -> set[str]:
    ready = httpx.get(f"{api.url}/readyz")
    assert ready.status_code == 200
    return set(ready.json()["degraded"])


def answers(api: Api, stream: str) -> bool:
    return httpx.get(f"{api.url}/v1/streams/{stream}", timeout=30).status_code == 200
