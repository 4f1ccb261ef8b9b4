"""Predictions by what an alias pointed at in an earlier moment."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.digits import images, png
from tests.service.control import problem
from tests.service.serving import Running, digits_stream, learned, running, service_settings

STREAM = "/v1/streams/digits"
BEFORE_ALL = "2020-01-01T00:00:00Z"


@pytest.fixture
def api(settings: StoreSettings, database: Database, blobs: Blobs) -> Iterator[Running]:
    """Two versions, champion in turn, and an alias that pointed at the first and was deleted."""
    stream = digits_stream(database)
    for seed in (1, 2):
        learned(database, blobs, stream, seed=seed)
    with running(service_settings(settings)) as api:
        mine = f"{STREAM}/aliases/mine"
        api.client.put(mine, json={"version": 1}, headers={"If-None-Match": "*"})
        assert api.client.delete(mine, headers={"If-Match": "*"}).status_code == 204
        yield api


def predict(api: Running, **query: str) -> httpx.Response:
    png_type = {"content-type": "image/png"}
    url = f"{STREAM}/predictions"
    return api.client.post(url, params=query, content=png(images[0]), headers=png_type)


def moments(api: Running, alias: str) -> list[str]:
    """When the alias was moved, oldest first."""
    moves = api.client.get(f"{STREAM}/aliases/{alias}/history").json()["items"]
    return [move["at"] for move in reversed(moves)]


def test_an_alias_answers_as_it_pointed_then(api: Running) -> None:
    first, second = moments(api, "champion")
    asked = [
        predict(api, as_of=first),
        predict(api, as_of=first, version="@champion"),
        predict(api, as_of=second),
        predict(api, as_of=moments(api, "mine")[0], version="@mine"),
        predict(api),
    ]
    assert [answer.json()["model_version"] for answer in asked] == [1, 1, 2, 1, 2]


def test_where_an_alias_pointed_nowhere_it_is_said_why(api: Running) -> None:
    early = problem(predict(api, as_of=BEFORE_ALL), 404, "not-found")
    assert (
        f"champion as of 2020-01-01T00:00:00+00:00: made {moments(api, 'champion')[0][:19]}"
        in (early["detail"])
    )
    deleted = moments(api, "mine")[-1]
    late = problem(predict(api, as_of=deleted, version="@mine"), 404, "not-found")
    assert "deleted" in late["detail"]
    problem(predict(api, as_of=deleted, version="@nobody"), 404, "not-found")


def test_a_moment_is_refused_beside_a_number_and_without_its_offset(api: Running) -> None:
    body = problem(predict(api, as_of=BEFORE_ALL, version="2"), 422, "invalid")
    assert body["errors"][0]["pointer"] == "query:as_of"
    problem(predict(api, as_of="2020-01-01T00:00:00"), 422, "invalid")
    problem(predict(api, as_of="yesterday"), 422, "invalid")
