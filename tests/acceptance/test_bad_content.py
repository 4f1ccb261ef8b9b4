"""Bad items among good ones: the good are learned, the bad listed with reasons."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest

from lure.errors import LureError
from tests.acceptance.world import Api, World
from tests.digits import digits_npz, digits_zip, images, labels, png

GREY = {"channels": 1, "height": 8, "width": 8}
DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def api(new_world: Callable[..., World]) -> Iterator[Api]:
    world = new_world()
    world.admit()
    api = world.api()
    yield api
    api.close()


def reasons(api: Api, stream: str, chunk: str) -> dict[str, str]:
    items = api.client.report(stream, chunk)["items"]
    return {item["name"]: item["reason"] for item in items}


def test_one_bad_image_among_good_ones_is_listed(api: Api) -> None:
    stream = api.create_stream()
    bad = {"3/broken.png": png(images[3])[:40], "3/words.png": b"seven"}
    chunk = api.push(stream, digits_zip(range(30), bad))
    api.wait_state(stream, chunk, "admitted")
    found = api.client.chunk(stream, chunk)
    assert (found["images"], found["refused"]) == (30, 2)
    assert set(reasons(api, stream, chunk)) == set(bad)
    assert all(reasons(api, stream, chunk).values())


def test_a_label_outside_a_fixed_class_list_is_refused(api: Api) -> None:
    stream = api.create_stream(classes=DIGITS, input=GREY)
    chunk = api.push(stream, digits_zip(range(30), {"ten/x.png": png(images[0])}))
    api.wait_state(stream, chunk, "admitted")
    assert "ten" in reasons(api, stream, chunk)["ten/x.png"]


def test_arrays_with_another_channel_count_are_refused(api: Api) -> None:
    stream = api.create_stream(classes=DIGITS, input={"channels": 3, "height": 8, "width": 8})
    chunk = api.push(stream, digits_npz(range(30)), ".npz")
    api.wait_state(stream, chunk, "rejected")
    assert "channel" in next(iter(reasons(api, stream, chunk).values()))


def test_a_chunk_without_one_good_item_is_rejected(api: Api) -> None:
    stream = api.create_stream(classes=DIGITS, input=GREY)
    chunk = api.push(stream, digits_zip([], {"3/a.png": b"text", "4/b.png": b""}))
    api.wait_state(stream, chunk, "rejected")
    found = api.client.chunk(stream, chunk)
    assert (found["images"], found["refused"]) == (0, 2)


def test_a_rejected_chunk_does_not_hold_back_the_next(api: Api) -> None:
    stream = api.create_stream()
    bad = api.push(stream, digits_zip([], {"3/a.png": b"text"}))
    good = api.push_digits(stream, 0, 30)
    api.wait_state(stream, bad, "rejected")
    api.wait_state(stream, good, "admitted")


def test_the_service_is_ready_after_a_storm_of_bad_uploads(api: Api) -> None:
    stream = api.create_stream()
    buffer = io.BytesIO()
    np.savez(buffer, images=np.array([{}], dtype=object), labels=labels[:1])
    storm = [b"", b"not a zip", digits_zip(range(30))[:-30], buffer.getvalue()]
    for payload in storm * 5:
        for media_type in ("application/zip", "application/x-npz"):
            answer = api.http.post(
                f"/v1/streams/{stream}/chunks",
                content=payload,
                headers={"Content-Type": media_type},
            )
            assert 400 <= answer.status_code < 500, answer.text
            assert answer.headers["Content-Type"] == "application/problem+json"
    assert api.client.chunks(stream)["items"] == []
    assert httpx.get(f"{api.url}/readyz").json() == {"ready": True, "degraded": []}
    with pytest.raises(LureError, match="no stream"):
        api.push("nowhere", digits_zip(range(3)))
