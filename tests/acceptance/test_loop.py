"""The main job: a labelled chunk goes in over HTTP, a better model answers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lure.errors import LureError
from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_for
from tests.digits import digits_npz, digits_zip, images, labels, png


@pytest.fixture(scope="module")
def api(new_world: Callable[..., World]) -> Iterator[Api]:
    world = new_world()
    world.admit()
    world.learn()
    api = world.api()
    yield api
    api.close()


@pytest.fixture(scope="module")
def taught(api: Api) -> str:
    """A stream that has learned two chunks well enough."""
    recipe = {"epochs": 10, "batch_size": 32, "learning_rate": 0.05, "schedule": "linear"}
    stream = api.create_stream(recipe=recipe | {"augmentation": "crop"})
    # every third digit: those that lie together in the data set are of the same writers
    first, second = (api.push(stream, digits_zip(range(start, 1200, 3))) for start in (0, 1))
    api.wait_learned(stream, first, second)
    api.wait_serving(stream, 2)
    return stream


def test_a_chunk_is_learned_and_the_next_is_relearned(api: Api, taught: str) -> None:
    chunks = list(reversed(api.client.chunks(taught)["items"]))
    check_learned_once_in_order(api.client, taught, [chunk["id"] for chunk in chunks])
    check_no_bytes_are_missing(api.world)
    assert chunks[0]["prequential_accuracy"] is None
    assert chunks[1]["prequential_accuracy"] > 0.5
    first, second = reversed(api.client.versions(taught)["items"])
    assert (first["parent"], second["parent"]) == (None, 1)
    assert second["metrics"]["images"] > 30


def test_the_served_model_knows_digits_that_it_never_saw(api: Api, taught: str) -> None:
    unseen = range(2, 1200, 12)
    answer = api.client.predict(taught, [png(images[index]) for index in unseen])
    right = [
        prediction["label"] == str(labels[index])
        for prediction, index in zip(answer["predictions"], unseen, strict=True)
    ]
    assert sum(right) / len(right) > 0.8
    assert answer["model_digest"] == _digest_of(api, taught, answer["model_version"])


def test_each_version_can_be_asked(api: Api, taught: str) -> None:
    for version in (1, 2):
        answer = api.client.predict(taught, [png(images[0])], version=str(version))
        assert answer["model_version"] == version


def test_the_report_tells_what_admission_found(api: Api, taught: str) -> None:
    chunk = api.client.chunks(taught)["items"][0]["id"]
    report = api.client.report(taught, chunk)
    assert (report["images"], report["refused"]) == (400, 0)
    assert sum(report["classes"].values()) == 400
    assert sum(report["splits"].values()) == 400


def test_an_npz_chunk_is_learned_too(api: Api) -> None:
    stream = api.create_stream()
    api.wait_learned(stream, api.push(stream, digits_npz(range(80)), ".npz"))
    assert api.client.stream(stream)["classes"] == [str(digit) for digit in range(10)]
    assert api.client.stream(stream)["input"] == {"channels": 1, "height": 8, "width": 8}


def test_before_the_first_version_a_prediction_says_so(api: Api) -> None:
    stream = api.create_stream()
    with pytest.raises(LureError) as refused:
        api.client.predict(stream, [png(images[0])])
    assert refused.value.status == 409
    assert "no version" in str(refused.value)


def test_a_rollback_is_served_and_holds_until_released(api: Api) -> None:
    stream = api.create_stream()
    chunks = [api.push_digits(stream, first) for first in (0, 60)]
    api.wait_learned(stream, *chunks)
    api.wait_version(stream, 2)
    assert api.client.rollback(stream, reason="too bold")["version"] == 1
    api.wait_serving(stream, 1)

    third = api.push_digits(stream, 120)
    api.wait_learned(stream, third)
    assert api.client.stream(stream)["champion"] == 1
    verdict = api.client.cycles(stream)["items"][0]["verdict"]
    assert (verdict["held"], verdict["promoted"]) == (True, False)

    assert not api.client.release(stream)["hold"]
    fourth = api.push_digits(stream, 180)
    api.wait_learned(stream, fourth)
    api.wait_version(stream, 4)


def test_labels_never_seen_grow_the_served_model(api: Api) -> None:
    recipe = {"epochs": 6, "batch_size": 32, "learning_rate": 0.05, "schedule": "linear"}
    recipe |= {"learn_epochs": 3, "augmentation": "none"}
    policies = {"replay": {"kind": "buffer", "capacity": 100}, "gate": {"tolerance": 1.0}}
    stream = api.create_stream(recipe=recipe, policies=policies, classes="open")
    few = [index for index in range(0, 1000, 3) if labels[index] < 5]
    api.wait_learned(stream, api.push(stream, digits_zip(few)))
    api.wait_serving(stream, 1)

    second = api.push(stream, digits_zip(range(1, 1500, 3)))
    unseen = range(2, 1500, 12)
    asked = [png(images[index]) for index in unseen]
    answers = [api.client.predict(stream, asked[:8], top_k=10)]

    def is_answered_by_the_second() -> bool:
        answers.append(api.client.predict(stream, asked[:8], top_k=10))  # raises if it fails
        return answers[-1]["model_version"] == 2

    wait_for(is_answered_by_the_second, "version 2", api.world)

    told = {answer["model_version"]: len(answer["predictions"][0]["top_k"]) for answer in answers}
    assert told == {1: 5, 2: 10}
    answer = api.client.predict(stream, asked)
    right = [
        prediction["label"] == str(labels[index])
        for prediction, index in zip(answer["predictions"], unseen, strict=True)
    ]
    assert sum(right) / len(right) > 0.8
    digits = [str(digit) for digit in range(10)]
    assert api.client.stream(stream)["classes"] == digits
    first_version, second_version = reversed(api.client.versions(stream)["items"])
    assert (first_version["classes"], second_version["classes"]) == (digits[:5], digits)
    assert second_version["replayed"]["images"] == 100
    cycle = api.client.chunk(stream, second)["cycle"]
    told_of = api.http.get(f"/v1/streams/{stream}/cycles/{cycle}/events").text
    assert "event: stream.classes_grown" in told_of


def _digest_of(api: Api, stream: str, version: int) -> str:
    return str(api.client.version(stream, version)["digest"])
