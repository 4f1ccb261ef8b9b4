"""A prediction, the label that comes later, a chunk of such, and a version that has learned it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from store import feedback, packs, streams
from store.predictions import place_of
from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_for
from tests.digits import images, labels, png


@pytest.fixture(scope="module")
def api(new_world: Callable[..., World]) -> Iterator[Api]:
    world = new_world(gc_s=0.5)
    world.admit()
    world.learn()
    world.beat()
    api = world.api()
    yield api
    api.close()


def predict(api: Api, stream: str, first: int, count: int) -> list[dict[str, Any]]:
    answer = api.client.predict(stream, [png(images[at]) for at in range(first, first + count)])
    predictions: list[dict[str, Any]] = answer["predictions"]
    return predictions


def give(api: Api, stream: str, predictions: list[dict[str, Any]], first: int) -> dict[str, Any]:
    body = [
        {"prediction_id": prediction["prediction_id"], "label": str(labels[first + at])}
        for at, prediction in enumerate(predictions)
    ]
    answer = api.http.post(f"/v1/streams/{stream}/feedback", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def taught(api: Api, **policy: object) -> str:
    """A stream with a version that is served."""
    policies = {"gate": {"tolerance": 1.0}, "feedback": policy}
    stream = api.create_stream(policies=policies)
    api.wait_learned(stream, api.push_digits(stream, 0))
    api.wait_serving(stream, 1)
    return stream


def test_labels_that_come_later_are_learned(api: Api) -> None:
    stream = taught(api, close_images=40)
    predictions = predict(api, stream, 60, 40)
    assert give(api, stream, predictions[:39], 60)["accepted"] == 39
    assert give(api, stream, predictions[:39], 60)["duplicate"] == 39
    assert len(api.client.chunks(stream)["items"]) == 1
    assert give(api, stream, predictions[39:], 99)["accepted"] == 1

    wait_for(lambda: len(api.client.chunks(stream)["items"]) == 2, "a chunk", api.world)
    chunk, first = api.client.chunks(stream)["items"]
    api.wait_learned(stream, chunk["id"])
    api.wait_serving(stream, 2)
    check_learned_once_in_order(api.client, stream, [first["id"], chunk["id"]])
    check_no_bytes_are_missing(api.world)
    report = api.client.report(stream, chunk["id"])
    assert (report["images"], report["refused"]) == (40, 0)

    right = sum(
        prediction["label"] == str(labels[60 + at]) for at, prediction in enumerate(predictions)
    )
    with api.world.database.begin() as session:
        row = streams.get(session, stream)
        assert feedback.live_accuracy(session, row) == {1: (right, 40)}
    (late,) = give(api, stream, predictions[:1], 61)["items"]
    assert (late["outcome"], late["reason"]) == ("refused", "in_chunk")


def test_a_few_labels_are_learned_when_the_first_is_old_enough(api: Api) -> None:
    stream = taught(api, close_images=1000, close_s=1)
    give(api, stream, predict(api, stream, 60, 20), 60)
    wait_for(lambda: len(api.client.chunks(stream)["items"]) == 2, "a chunk", api.world)
    api.wait_serving(stream, 2)


def test_predictions_are_forgotten_when_their_time_is_over(api: Api) -> None:
    stream = taught(api, keep_s=3)
    (prediction,) = predict(api, stream, 60, 1)
    place = place_of(prediction["prediction_id"])
    assert place is not None

    def is_kept() -> bool:
        with api.world.database.begin() as session:
            return bool(packs.by_ids(session, [place.pack_id]))

    wait_for(is_kept, "the pack", api.world)
    wait_for(lambda: not is_kept(), "the pack to expire", api.world)
    (item,) = give(api, stream, [prediction], 60)["items"]
    assert item["reason"] == "expired"
