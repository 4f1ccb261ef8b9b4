"""Predictions by an alias: out of memory, and by where whoever asks has just moved it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.loading import Library
from store import aliases, streams
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.digits import images, png
from tests.service.serving import Running, digits_stream, learned, running, service_settings

URL = "/v1/streams/digits"


@pytest.fixture
def api(settings: StoreSettings, database: Database, blobs: Blobs) -> Iterator[Running]:
    """It has looked once, and neither polls nor hears anything while a test runs."""
    stream = digits_stream(database)
    for seed in range(2):
        learned(database, blobs, stream, seed=seed, architecture="mlp")
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        aliases.move(session, locked, "mine", aliases.Move(1, "test", "a test"))
    deaf = {"poll_s": 60.0, "stale_s": 120.0, "redis_url": "redis+socket:///tmp/nobody.sock"}
    with running(service_settings(settings, **deaf)) as api:
        yield api


def predict(api: Running, wanted: str) -> httpx.Response:
    headers = {"content-type": "image/png"}
    url = f"{URL}/predictions?version={wanted}"
    return api.client.post(url, content=png(images[0]), headers=headers)


def test_an_alias_that_is_known_is_answered_without_the_database(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(api, "@previous").json()["model_version"] == 1  # and now it is loaded

    def ask(*_: Any) -> Any:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(Library, "_ask", ask)
    assert predict(api, "@previous").json()["model_version"] == 1


def test_who_moves_an_alias_meets_it_at_once(api: Running) -> None:
    mine = f"{URL}/aliases/mine"
    assert predict(api, "@mine").json()["model_version"] == 1
    etag = api.client.get(mine).headers["etag"]
    moved = api.client.put(mine, json={"version": 2}, headers={"If-Match": etag})
    moved.raise_for_status()
    assert predict(api, "@mine").json()["model_version"] == 2
    deleted = api.client.delete(mine, headers={"If-Match": moved.headers["etag"]})
    deleted.raise_for_status()
    assert predict(api, "@mine").status_code == 404
