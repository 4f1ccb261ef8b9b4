"""Two learn workers and two API replicas: order, exactly-once, and both serve the new version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World
from tests.digits import images, png


@dataclass(frozen=True)
class Two:
    """Two learn workers, and two replicas, started once."""

    world: World
    one: Api
    two: Api

    @property
    def both(self) -> tuple[Api, Api]:
        return self.one, self.two


@pytest.fixture(scope="module")
def two(new_world: Callable[..., World]) -> Two:
    world = new_world()
    for worker in (world.admit, world.learn, world.learn, world.beat):
        worker()
    return Two(world, world.api(), world.api())


def test_order_and_exactly_once_hold_and_both_replicas_serve(two: Two) -> None:
    streams = [two.one.create_stream(), two.one.create_stream()]
    chunks: dict[str, list[str]] = {stream: [] for stream in streams}
    for number in range(3):
        for stream in streams:
            api = two.both[number % 2]
            chunks[stream].append(api.push_digits(stream, number * 60))
    for stream in streams:
        two.two.wait_learned(stream, *chunks[stream])
        check_learned_once_in_order(two.one.client, stream, chunks[stream])
        for api in two.both:
            api.wait_serving(stream, champion(api, stream))
        two.one.wait_marked_served(stream)
    check_no_bytes_are_missing(two.world)


def test_no_prediction_fails_across_a_swap(two: Two) -> None:
    api = two.one
    stream = api.create_stream()
    api.wait_learned(stream, api.push_digits(stream, 0))
    api.wait_serving(stream, 1)

    swapped = threading.Event()

    def ask_until_swapped() -> list[int]:
        seen: list[int] = []
        with api.client_of() as client:
            while not swapped.is_set() or len(seen) < 5:
                seen.append(client.predict(stream, [png(images[0])])["model_version"])
        return seen

    with ThreadPoolExecutor(10) as pool:
        askers = [pool.submit(ask_until_swapped) for _ in range(10)]
        api.wait_learned(stream, api.push_digits(stream, 60))
        api.wait_serving(stream, 2)
        swapped.set()
        answers = [asker.result() for asker in askers]
    assert sum(map(len, answers)) >= 100
    for seen in answers:
        assert seen == sorted(seen)  # never back to the old version
        assert set(seen) <= {1, 2}


def test_a_promotion_is_heard_over_redis_long_before_the_next_poll(two: Two) -> None:
    stream = of_two_versions(two)
    slow = two.world.api(LURE_POLL_S="60")
    slow.wait_serving(stream, 2)
    started = time.monotonic()
    two.one.client.rollback(stream)
    slow.wait_serving(stream, 1)
    assert time.monotonic() - started < 30  # it has not polled yet
    slow.child.stop()


def test_a_promotion_is_served_by_polling_without_redis(two: Two) -> None:
    stream = of_two_versions(two)
    for api in two.both:
        api.wait_serving(stream, 2)
    two.world.redis.kill()
    try:
        two.one.client.rollback(stream)
        for api in two.both:
            api.wait_serving(stream, 1)
    finally:
        two.world.redis.start()


def of_two_versions(two: Two) -> str:
    api = two.one
    stream = api.create_stream()
    api.wait_learned(stream, api.push_digits(stream, 0), api.push_digits(stream, 60))
    return stream


def champion(api: Api, stream: str) -> int:
    version = api.client.stream(stream)["champion"]
    assert version is not None
    return version
