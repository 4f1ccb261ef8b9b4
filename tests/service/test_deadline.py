"""Requests that are given up: their time is over, or their client has left."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.slot import Served
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.digits import images, png
from tests.service.serving import Running, digits_stream, learned, running, service_settings, until

URL = "/v1/streams/digits/predictions"
PNG = {"content-type": "image/png"}


class Slow:
    """A model that computes when the test lets it."""

    def __init__(self, served: Served) -> None:
        self._model = served.classifier
        self.classes, self.input = served.classes, served.input
        self.batches: list[int] = []
        self.gate = threading.Event()

    def predict(self, pixels: Any) -> Any:
        self.batches.append(len(pixels))
        assert self.gate.wait(20)
        return self._model.predict(pixels)


@pytest.fixture
def api(settings: StoreSettings, database: Database, blobs: Blobs) -> Iterator[Running]:
    learned(database, blobs, digits_stream(database))
    with running(service_settings(settings)) as api:
        yield api


@pytest.fixture
def slow(api: Running) -> Iterator[Slow]:
    """The model that is served, from now on."""
    slots = api.app.state.watch.slots
    served = slots.champion("digits")
    model = Slow(served)
    slots.swap(replace(served, classifier=model))
    yield model
    model.gate.set()


def dropped(api: Running, reason: str) -> float:
    counters = api.app.state.watch.counters
    samples = [sample for metric in counters.collect() for sample in metric.samples]
    found = [sample.value for sample in samples if sample.labels == {"reason": reason}]
    return found[0] if found else 0.0


def test_what_is_not_answered_in_the_time_that_a_client_has_is_a_504_and_not_computed(
    api: Running, slow: Slow
) -> None:
    first = threading.Thread(target=ask, args=(api,))
    first.start()
    until(lambda: slow.batches == [1])
    answer = api.client.post(
        URL, content=png(images[0]), headers=PNG | {"X-Request-Timeout-Ms": "50"}
    )
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:lure:problem:too-late"
    assert dropped(api, "late") == 1
    slow.gate.set()
    first.join()
    ask(api)
    assert slow.batches == [1, 1]  # the late one was in none


def test_the_settings_bound_every_request(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    learned(database, blobs, digits_stream(database))
    with running(service_settings(settings, predict_timeout_s=0.05)) as api:
        slots = api.app.state.watch.slots
        served = slots.champion("digits")
        model = Slow(served)
        slots.swap(replace(served, classifier=model))
        for more in ({}, {"X-Request-Timeout-Ms": "60000"}):
            answer = api.client.post(URL, content=png(images[0]), headers=PNG | more)
            assert answer.status_code == 504
        model.gate.set()


@pytest.mark.parametrize("told", ["soon", "0", "-5", "1.5", "9" * 20])
def test_a_timeout_that_is_none_is_refused(api: Running, told: str) -> None:
    headers = PNG | {"X-Request-Timeout-Ms": told}
    answer = api.client.post(URL, content=png(images[0]), headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "header:X-Request-Timeout-Ms"


def test_what_a_client_asked_that_has_left_is_not_computed(api: Running, slow: Slow) -> None:
    first = threading.Thread(target=ask, args=(api,))
    first.start()
    until(lambda: slow.batches == [1])
    body = png(images[0])
    head = f"POST {URL} HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
    place = urlsplit(api.url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        predictor = api.app.state.watch.predictor
        until(lambda: predictor.waiting == 2)
    until(lambda: dropped(api, "gone") == 1)
    slow.gate.set()
    first.join()
    ask(api)
    assert slow.batches == [1, 1]


def ask(api: Running) -> None:
    assert api.client.post(URL, content=png(images[0]), headers=PNG).status_code == 200
