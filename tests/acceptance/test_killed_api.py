"""The API may die between bytes, row and wake; a client that asks again is not served twice."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_exit
from tests.digits import digits_zip

HEADERS = {"Content-Type": "application/zip", "Idempotency-Key": '"once"'}


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    world = new_world()
    world.admit()
    world.learn()
    world.beat()
    return world


def post(api: Api, stream: str) -> httpx.Response:
    url = f"{api.url}/v1/streams/{stream}/chunks"
    return httpx.post(url, content=digits_zip(range(60)), headers=HEADERS)


def test_bytes_without_a_row_were_never_accepted(world: World) -> None:
    doomed = world.api(failpoint="upload.stored:kill")
    stream = doomed.create_stream()
    with pytest.raises(httpx.TransportError):
        post(doomed, stream)
    wait_exit(doomed.child, world)
    doomed.close()

    api = world.api()
    assert api.client.chunks(stream)["items"] == []
    again = post(api, stream)
    assert again.status_code == 202
    api.wait_learned(stream, again.json()["id"])
    check_learned_once_in_order(api.client, stream, [again.json()["id"]])
    check_no_bytes_are_missing(world)
    api.close()


def test_a_row_without_a_wake_is_learned_all_the_same(world: World) -> None:
    doomed = world.api(failpoint="upload.committed:kill")
    stream = doomed.create_stream()
    with pytest.raises(httpx.TransportError):
        post(doomed, stream)
    wait_exit(doomed.child, world)
    doomed.close()

    api = world.api()
    (chunk,) = api.client.chunks(stream)["items"]
    api.wait_learned(stream, chunk["id"])
    again = post(api, stream)
    assert again.json()["id"] == chunk["id"]
    check_learned_once_in_order(api.client, stream, [chunk["id"]])
    check_no_bytes_are_missing(world)
    api.close()
