from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from lure_core.checkpoint import load_classifier
from service.counters import Counters
from service.errors import Overloaded
from service.predict import Capacity, Predictor
from store import aliases, streams
from store.blobs import Blobs
from store.engine import Database
from store.models import Version
from store.settings import StoreSettings
from tests.conftest import Servers
from tests.digits import images, png
from tests.service.serving import (
    CLASSES,
    Running,
    digits_stream,
    learned,
    promote,
    running,
    service_settings,
    until,
)

URL = "/v1/streams/digits/predictions"
PNG = {"content-type": "image/png"}


@pytest.fixture
def version(database: Database, blobs: Blobs) -> Version:
    return learned(database, blobs, digits_stream(database))


@pytest.fixture
def api(settings: StoreSettings, version: Version) -> Iterator[Running]:
    with running(service_settings(settings)) as api:
        yield api


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["status"] == status
    return body


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{n}.png", content)) for n, content in enumerate(contents)]


def test_files_are_answered_in_their_order_by_the_very_model(
    api: Running, version: Version, blobs: Blobs
) -> None:
    answer = api.client.post(URL, files=files(*(png(image) for image in images[:3]))).json()
    sidecar = {
        "format_version": 1,
        "architecture": "resnet20s",
        "classes": list(CLASSES),
        "input": {"channels": 1, "height": 8, "width": 8},
        "normalisation": {"mean": [0.3], "std": [0.4]},
        "weights_sha256": version.digest,
    }
    model = load_classifier(blobs.local(version.digest), sidecar)
    expected = model.predict(images[:3, None])
    assert [p["label"] for p in answer["predictions"]] == [CLASSES[k] for k in expected.argmax(1)]
    for told, row in zip(answer["predictions"], expected, strict=True):
        assert told["probability"] == pytest.approx(row.max(), abs=1e-5)
        assert [s["probability"] for s in told["top_k"]] == pytest.approx(
            sorted(row, reverse=True)[:5], abs=1e-5
        )
        assert told["top_k"][0] == {k: told[k] for k in ("label", "probability")}
    ids = {p["prediction_id"] for p in answer["predictions"]}
    assert len(ids) == 3
    assert all(one.startswith("prd_") for one in ids)


def test_version_and_digest_are_in_body_and_headers(api: Running, version: Version) -> None:
    answer = api.client.post(URL, content=png(images[0]), headers=PNG)
    body = answer.json()
    assert (body["model_version"], body["model_digest"]) == (1, f"sha256:{version.digest}")
    assert answer.headers["x-model-version"] == "1"
    assert answer.headers["x-model-digest"] == f"sha256:{version.digest}"


def test_every_way_to_send_an_image_gives_the_same_answer(api: Running) -> None:
    data = png(images[7])
    ways = [
        api.client.post(URL, files={"whatever": ("a.png", data)}),
        api.client.post(URL, content=data, headers=PNG),
        api.client.post(URL, json={"images": [base64.b64encode(data).decode()]}),
    ]
    scores = [[p["top_k"] for p in way.json()["predictions"]] for way in ways]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "bmp"])
def test_other_formats_sizes_and_colours_are_taken_as_admission_takes_them(
    api: Running, kind: str
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(buffer, kind)
    headers = {"content-type": f"image/{kind}"}
    answer = api.client.post(URL, content=buffer.getvalue(), headers=headers)
    assert answer.status_code == 200


def test_top_k_is_bounded_by_the_classes(api: Running) -> None:
    for asked, given in ((1, 1), (3, 3), (99, 10)):
        answer = api.client.post(f"{URL}?top_k={asked}", content=png(images[0]), headers=PNG)
        assert len(answer.json()["predictions"][0]["top_k"]) == given
    problem(api.client.post(f"{URL}?top_k=0", content=png(images[0]), headers=PNG), 422)


def test_bad_images_are_named_with_their_reasons_and_nothing_is_half_answered(
    api: Running,
) -> None:
    good = png(images[0])
    body = problem(api.client.post(URL, files=files(good, good, b"words", good[:40])), 422)
    faults = body["errors"]
    assert isinstance(faults, list)
    assert [fault["pointer"] for fault in faults] == ["/images/2", "/images/3"]
    assert "text" in faults[0]["detail"]
    assert "predictions" not in body


def test_what_is_not_base64_is_named(api: Running) -> None:
    good = base64.b64encode(png(images[0])).decode()
    body = problem(api.client.post(URL, json={"images": [good, "nö", 5]}), 422)
    faults = body["errors"]
    assert isinstance(faults, list)
    assert [fault["pointer"] for fault in faults] == ["/images/1", "/images/2"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "image/png", 422),
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"images": []}', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"no form", "multipart/form-data; boundary=x", 422),
        (b"no form", "multipart/form-data", 422),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"GIF89a", "image/gif", 415),
        (b"words", "", 415),
    ],
)
def test_a_broken_envelope_is_a_problem(
    api: Running, content: bytes, kind: str, status: int
) -> None:
    problem(api.client.post(URL, content=content, headers={"content-type": kind}), status)


def test_too_many_images_are_refused(settings: StoreSettings, version: Version) -> None:
    one = png(images[0])
    text = base64.b64encode(one).decode()
    with running(service_settings(settings, max_predict_images=2)) as api:
        assert api.client.post(URL, files=files(one, one)).status_code == 200
        problem(api.client.post(URL, files=files(one, one, one)), 422)
        problem(api.client.post(URL, json={"images": [text] * 3}), 422)


def test_the_pixels_of_one_request_are_bounded_before_any_is_decoded(
    settings: StoreSettings, version: Version
) -> None:
    one = png(images[0])
    with running(service_settings(settings, max_predict_pixels=64 * 3)) as api:
        assert api.client.post(URL, files=files(one, one, one)).status_code == 200
        told = problem(api.client.post(URL, files=files(one, b"no image", one, one, one)), 422)
        assert [fault["pointer"] for fault in told["errors"]] == ["/images/4"]  # type: ignore[attr-defined]


def test_top_k_is_bounded(api: Running) -> None:
    one = {"content": png(images[0]), "headers": PNG}
    answer = api.client.post(f"{URL}?top_k=100", **one)
    assert len(answer.json()["predictions"][0]["top_k"]) == len(CLASSES)
    problem(api.client.post(f"{URL}?top_k=101", **one), 422)


def test_the_document_tells_each_refusal(api: Running) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    told = paths["/v1/streams/{stream}/predictions"]["post"]["responses"]
    refused_at_the_gate = {"401", "403", "429"}
    own = {"200", "404", "408", "409", "413", "415", "422", "503", "504"}
    assert set(told) == own | refused_at_the_gate
    assert set(paths["/v1/streams/{stream}/events"]["get"]["responses"]) >= {"200", "404", "503"}


def test_a_body_over_the_cap_is_refused_announced_or_not(
    settings: StoreSettings, version: Version
) -> None:
    with running(service_settings(settings, max_predict_bytes=10_000)) as api:
        problem(api.client.post(URL, content=bytes(10_001), headers=PNG), 413)
        pieces = (bytes(1000) for _ in range(11))
        problem(api.client.post(URL, content=pieces, headers=PNG), 413)
        assert api.client.post(URL, content=png(images[0]), headers=PNG).status_code == 200


def test_before_the_first_version_it_says_so(api: Running, database: Database) -> None:
    digits_stream(database, "young")
    url = "/v1/streams/young/predictions"
    body = problem(api.client.post(url, content=png(images[0]), headers=PNG), 409)
    assert "no version yet" in str(body["detail"])


def test_what_is_unknown_is_not_found(api: Running) -> None:
    one = {"content": png(images[0]), "headers": PNG}
    problem(api.client.post("/v1/streams/nobody/predictions", **one), 404)
    problem(api.client.post(f"{URL}?version=7", **one), 404)
    problem(api.client.post(f"{URL}?version=@nobody", **one), 404)
    problem(api.client.post(f"{URL}?version=three", **one), 422)


def test_a_version_is_asked_for_by_number_or_alias(
    api: Running, database: Database, blobs: Blobs
) -> None:
    with database.begin() as session:
        stream = streams.get(session, "digits")
    second = learned(database, blobs, stream, seed=1, champion=False)
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        aliases.move(session, locked, "blue", aliases.Move(second.version, "test", "a test"))
    one = {"content": png(images[0]), "headers": PNG}
    told = {
        wanted: api.client.post(URL, params={"version": wanted}, **one).json()["model_version"]
        for wanted in ("1", "2", "@blue", "@champion")
    }
    assert told == {"1": 1, "2": 2, "@blue": 2, "@champion": 1}
    assert api.client.post(URL, **one).json()["model_version"] == 1


def test_a_version_whose_bytes_are_gone_is_a_503_and_the_champion_answers_on(
    api: Running, database: Database, blobs: Blobs
) -> None:
    with database.begin() as session:
        stream = streams.get(session, "digits")
    lost = learned(database, blobs, stream, seed=1, champion=False)
    blobs.local(lost.digest).unlink()
    one = {"content": png(images[0]), "headers": PNG}
    answer = api.client.post(f"{URL}?version=2", **one)
    problem(answer, 503)
    assert answer.headers["retry-after"]
    assert api.client.post(URL, **one).status_code == 200


def test_with_postgresql_and_redis_stopped_predictions_go_on(
    api: Running, servers: Servers, database: Database
) -> None:
    one = {"content": png(images[0]), "headers": PNG}
    database.close()
    servers.redis.kill()
    servers.postgres.kill()
    try:
        for _ in range(5):
            assert api.client.post(URL, **one).json()["model_version"] == 1
        until(lambda: api.client.get("/readyz").json()["degraded"] == ["database", "redis"])
        assert api.client.get("/readyz").json()["ready"] is True
        assert api.client.post(f"{URL}?version=@champion", **one).status_code == 200
        answer = api.client.post("/v1/streams/other/predictions", **one)
        problem(answer, 503)
        assert answer.headers["retry-after"]
        assert api.client.get("/metrics").status_code == 200
    finally:
        servers.postgres.start()
        servers.redis.start()
    until(lambda: api.client.get("/readyz").json()["degraded"] == [])


def test_a_full_house_is_a_503_that_says_when_to_come_back(api: Running) -> None:
    with api.app.state.watch.predictor.hold(256 << 20):
        answer = api.client.post(URL, content=png(images[0]), headers=PNG)
        problem(answer, 503)
        assert answer.headers["retry-after"] == "1"
    assert api.client.post(URL, content=png(images[0]), headers=PNG).status_code == 200


def test_more_requests_than_may_wait_are_refused(api: Running) -> None:
    served = api.app.state.watch.slots.champion("digits")
    predictor = Predictor(Counters(), Capacity(requests=1))

    async def scene() -> list[object]:
        both = (predictor.images(served, [png(images[0])]) for _ in range(2))
        return list(await asyncio.gather(*both, return_exceptions=True))

    first, second = asyncio.run(scene())
    predictor.close()
    assert isinstance(first, np.ndarray)
    assert isinstance(second, Overloaded)


def test_pixels_are_answered_as_the_image_they_are_of(api: Running) -> None:
    served = api.app.state.watch.slots.champion("digits")
    predictor = Predictor(Counters())

    async def scene() -> tuple[object, object]:
        encoded = [png(image) for image in images[:3]]
        by_image = await predictor.images(served, encoded)
        return by_image, await predictor.pixels(served, images[:3, None])

    by_image, by_pixels = asyncio.run(scene())
    predictor.close()
    np.testing.assert_array_equal(by_image, by_pixels)


def test_a_promotion_changes_the_answer(
    api: Running, database: Database, blobs: Blobs, version: Version
) -> None:
    with database.begin() as session:
        stream = streams.get(session, "digits")
    learned(database, blobs, stream, seed=1)
    one = {"content": png(images[0]), "headers": PNG}
    until(lambda: api.client.post(URL, **one).json()["model_version"] == 2)
    promote(database, stream, version.version)
    until(lambda: api.client.post(URL, **one).json()["model_version"] == 1)


def test_the_stream_tells_which_version_each_replica_serves(
    api: Running, database: Database
) -> None:
    digits_stream(database, "young")
    name = api.app.state.watch.replica_id
    url = "/v1/streams/digits"
    until(lambda: api.client.get(url).json()["replicas"] == {name: 1})
    listed = {one["name"]: one["replicas"] for one in api.client.get("/v1/streams").json()["items"]}
    assert listed == {"digits": {name: 1}, "young": {name: None}}
