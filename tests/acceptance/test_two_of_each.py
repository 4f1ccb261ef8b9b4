"""Two learn workers and two API replicas: order, exactly-once, and both serve the new version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World
from tests.digits import images, png


def test_order_and_exactly_once_hold_and_both_replicas_serve(
    new_world: Callable[..., World],
) -> None:
    world = new_world()
    for worker in (world.admit, world.admit, world.learn, world.learn, world.beat):
        worker()
    one, two = world.api(), world.api()
    streams = [one.create_stream(), one.create_stream()]
    chunks: dict[str, list[str]] = {stream: [] for stream in streams}
    for number in range(3):
        for stream in streams:
            api = (one, two)[number % 2]
            chunks[stream].append(api.push_digits(stream, number * 60))
    for stream in streams:
        two.wait_learned(stream, *chunks[stream])
        check_learned_once_in_order(one.client, stream, chunks[stream])
        for api in (one, two):
            api.wait_serving(stream, champion(api, stream))
        one.wait_marked_served(stream)
    check_no_bytes_are_missing(world)


def test_no_prediction_fails_across_a_swap(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.admit()
    world.learn()
    api = world.api()
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


def test_a_promotion_is_heard_over_redis_long_before_the_next_poll(
    new_world: Callable[..., World],
) -> None:
    world = new_world(poll_s=60.0)
    world.admit()
    world.learn()
    one, two = world.api(), world.api()
    stream = one.create_stream()
    one.wait_learned(stream, one.push_digits(stream, 0), one.push_digits(stream, 60))
    started = time.monotonic()
    one.client.rollback(stream)
    for api in (one, two):
        api.wait_serving(stream, 1)
    assert time.monotonic() - started < 30  # nobody has polled yet


def test_a_promotion_is_served_by_polling_without_redis(new_world: Callable[..., World]) -> None:
    world = new_world()
    admit, learn = world.admit(), world.learn()
    one, two = world.api(), world.api()
    stream = one.create_stream()
    one.wait_learned(stream, one.push_digits(stream, 0), one.push_digits(stream, 60))
    for api in (one, two):
        api.wait_serving(stream, 2)
    admit.kill()
    learn.kill()
    world.redis.kill()
    one.client.rollback(stream)
    for api in (one, two):
        api.wait_serving(stream, 1)


def champion(api: Api, stream: str) -> int:
    version = api.client.stream(stream)["champion"]
    assert version is not None
    return version
