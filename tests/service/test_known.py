"""Requests as MLflow's, TensorFlow Serving's and TorchServe's clients send them."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest

from store import aliases
from store.engine import Database
from store.models import Alias
from tests.conftest import Servers, settings_for
from tests.digits import images, png
from tests.service.serving import CLASSES, Running, digits_and_candidate, digits_stream, learned

TWO = [base64.b64encode(png(image)).decode() for image in images[:2]]
PIXELS = images[:2, None]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with digits_and_candidate(settings_for(servers, tmp_path_factory.mktemp("known"))) as api:
        yield api


@pytest.fixture
def letters(api: Running) -> Iterator[str]:
    """A second stream that serves, for as long as a test lasts."""
    database: Database = api.app.state.database
    stream = digits_stream(database, f"letters-{next(_numbers)}")
    learned(database, api.app.state.blobs, stream, seed=2, architecture="mlp")
    slots = api.app.state.watch.slots
    api.until(lambda: stream.name in slots.champions())
    yield stream.name
    with database.begin() as session:
        session.delete(session.get(Alias, (stream.id, aliases.CHAMPION)))
    api.until(lambda: stream.name not in slots.champions())


def refused(answer: httpx.Response, status: int, pointer: str | None = None) -> str:
    assert answer.status_code == status, answer.text
    told = answer.json()
    if pointer is not None:
        assert pointer in [fault["pointer"] for fault in told["errors"]]
    return str(told["detail"])


def ours(api: Running, query: str = "") -> list[tuple[str, float]]:
    answer = api.client.post(f"/v1/streams/digits/predictions{query}", json={"images": TWO})
    return [
        (one["label"], pytest.approx(one["probability"], abs=1e-5))
        for one in answer.json()["predictions"]
    ]


def test_every_form_of_an_invocation_gives_our_predictions(api: Running) -> None:
    floats = (PIXELS / 255).tolist()
    ways: list[dict[str, Any]] = [
        {"inputs": TWO},
        {"inputs": {"image": TWO}, "params": {"k": 1}},
        {"instances": TWO},
        {"instances": [{"b64": one} for one in TWO]},
        {"instances": PIXELS.tolist()},
        {"inputs": images[:2, ..., None].tolist()},
        {"inputs": floats},
        {"dataframe_split": {"index": [0, 1], "columns": ["image"], "data": [[x] for x in TWO]}},
        {"dataframe_records": [{"image": one} for one in TWO]},
    ]
    expected = ours(api)
    for way in ways:
        answer = api.client.post("/invocations", json=way)
        assert answer.status_code == 200, (way.keys(), answer.text)
        told = answer.json()["predictions"]
        assert [(one["label"], one["probability"]) for one in told] == expected
        assert answer.headers["x-model-version"] == "1"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ([], ""),
        ({"inputs": TWO, "instances": TWO}, ""),
        ({"inputs": []}, "/inputs"),
        ({"inputs": {"a": 1, "b": 2}}, "/inputs"),
        ({"instances": "words"}, "/instances"),
        ({"instances": [TWO[0], "nö"]}, "/instances/1"),
        ({"instances": [TWO[0], base64.b64encode(b"words").decode()]}, "/instances/1"),
        ({"instances": [[[0] * 8] * 8]}, "/instances"),
        ({"instances": [[[[256] * 8] * 8]]}, "/instances/0"),
        ({"instances": [[[[0] * 8] * 7 + [[0] * 7]]]}, "/instances"),
        ({"instances": [[[[0] * 8] * 7 + [["0"] * 8]]]}, "/instances/56"),
        ({"instances": [[[[12.5] * 8] * 8]]}, "/instances/0"),
        ({"instances": [None]}, "/instances"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}, "/dataframe_split/data"),
        ({"dataframe_split": 3}, "/dataframe_split/data"),
    ],
)
def test_what_is_no_invocation(api: Running, body: Any, pointer: str) -> None:
    refused(api.client.post("/invocations", json=body), 422, pointer)


def test_an_invocation_names_its_stream_where_there_are_several(api: Running, letters: str) -> None:
    assert "2 streams serve" in refused(api.client.post("/invocations", json={"inputs": TWO}), 422)
    by_query = api.client.post("/invocations?stream=digits&version=2", json={"inputs": TWO})
    assert by_query.headers["x-model-version"] == "2"
    by_header = api.client.post(
        "/invocations", json={"inputs": TWO}, headers={"x-stream": "digits"}
    )
    told = by_header.json()["predictions"]
    assert [(one["label"], one["probability"]) for one in told] == ours(api)
    refused(api.client.post("/invocations?stream=nothing", json={"inputs": TWO}), 404)
    refused(
        api.client.post(
            "/invocations?stream=digits", content=b"a,b", headers={"content-type": "text/csv"}
        ),
        415,
    )


def test_health_and_version(api: Running) -> None:
    for path in ("/ping", "/health"):
        answer = api.client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "Healthy"})
    assert api.client.get("/version").text == version("lure")


def test_torchserves_clients_get_the_best_classes_of_their_file(api: Running) -> None:
    file = png(images[0])
    [expected, _] = ours(api)
    ways = [
        api.client.post("/predictions/digits", content=file),
        api.client.put("/predictions/digits", content=file),
        api.client.post(
            "/predictions/digits/1",
            content=file,
            headers={"content-type": "application/x-www-form-urlencoded"},
        ),
        api.client.post("/predictions/digits", files={"data": ("kitten.png", file)}),
    ]
    for answer in ways:
        assert answer.status_code == 200, answer.text
        scores = answer.json()
        assert len(scores) == 5
        assert next(iter(scores.items())) == expected
    several = api.client.post(
        "/predictions/digits", json={"instances": [{"data": one} for one in TWO]}
    )
    assert [next(iter(one.items())) for one in several.json()] == ours(api)
    by_version = api.client.put("/predictions/digits/2", content=file)
    assert by_version.headers["x-model-version"] == "2"
    assert next(iter(by_version.json().items())) == ours(api, "?version=2")[0]
    refused(api.client.post("/predictions/digits", content=b"words"), 422, "/images/0")
    refused(api.client.post("/predictions/nothing", content=file), 404)
    refused(api.client.post("/predictions/digits/1.0", content=file), 422)


def test_set_default_moves_the_champion_and_holds_it(api: Running, letters: str) -> None:
    url = f"/v1/streams/{letters}/aliases/champion"
    answer = api.client.put(f"/models/{letters}/1/set-default")
    assert answer.status_code == 200
    assert f'"{letters}" to "1"' in answer.json()["status"]
    assert api.client.get(url).json()["hold"] is True
    asked = f"/models/{letters}/@champion/set-default?hold=false&reason=as+it+was"
    assert api.client.put(asked).status_code == 200
    last, first, *_ = api.client.get(f"{url}/history").json()["items"]
    told = [last[name] for name in ("to_version", "who", "reason", "hold")]
    assert told == [1, "api", "as it was", False]
    assert (first["reason"], first["hold"]) == ("set as the default", True)
    refused(api.client.put(f"/models/{letters}/7/set-default"), 404)
    refused(api.client.put("/models/nothing/1/set-default"), 404)
    refused(api.client.put(f"/models/{letters}/1/set-default?reason=%00"), 422)


def test_labels_are_those_of_the_stream(api: Running) -> None:
    scores = api.client.post("/predictions/digits", content=png(images[3])).json()
    assert set(scores) <= set(CLASSES)
