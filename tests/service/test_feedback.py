"""Labels over HTTP: what becomes of each, and of broken envelopes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service import recorder
from store import feedback, packs, predictions, streams
from store.blobs import Blobs
from store.engine import Database
from store.models import Pack
from store.predictions import Place, place_of
from store.settings import StoreSettings
from tests.digits import images, png
from tests.factories import create_chunk
from tests.service.control import problem
from tests.service.serving import (
    CLASSES,
    Running,
    digits_stream,
    learned,
    running,
    service_settings,
)

URL = "/v1/streams/digits/feedback"


@pytest.fixture
def api(settings: StoreSettings, database: Database, blobs: Blobs) -> Iterator[Running]:
    learned(database, blobs, digits_stream(database))
    with running(service_settings(settings)) as api:
        yield api


def predict(api: Running, count: int, stream: str = "digits") -> list[dict[str, Any]]:
    files = [("images", (f"{n}.png", png(images[n]))) for n in range(count)]
    answer = api.client.post(f"/v1/streams/{stream}/predictions", files=files)
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def give(api: Running, *labels: tuple[str, str]) -> httpx.Response:
    body = [{"prediction_id": one, "label": label} for one, label in labels]
    return api.client.post(URL, json=body)


def told(answer: httpx.Response) -> list[tuple[str, str | None]]:
    """The outcome of each label, and the reason where there is one."""
    assert answer.status_code == 200, answer.text
    return [(item["outcome"], item["reason"]) for item in answer.json()["items"]]


def other(label: str) -> str:
    return CLASSES[(CLASSES.index(label) + 1) % 10]


def test_labels_count_for_the_version_that_predicted(api: Running, database: Database) -> None:
    right, wrong = predict(api, 2)
    labels = (right["label"], other(wrong["label"]))
    ids = (right["prediction_id"], wrong["prediction_id"])
    answer = give(api, *zip(ids, labels, strict=True))  # within the pack's first second
    assert told(answer) == [("accepted", None)] * 2
    counts = {name: count for name, count in answer.json().items() if name != "items"}
    assert counts == {"accepted": 2, "duplicate": 0, "corrected": 0, "refused": 0}
    with database.begin() as session:
        stream = streams.get(session, "digits")
        assert feedback.live_accuracy(session, stream) == {1: (1, 2)}
        (row, _) = feedback.oldest_open(session, stream, limit=9)
    place = place_of(row.prediction_id)
    assert place is not None
    assert (row.pack_id, row.version) == (place.pack_id, 1)


def test_the_same_label_again_is_a_duplicate_and_another_corrects_it(
    api: Running, database: Database
) -> None:
    (one,) = predict(api, 1)
    name, first, second = one["prediction_id"], one["label"], other(one["label"])
    assert told(give(api, (name, first))) == [("accepted", None)]
    assert told(give(api, (name, first), (name, second), (name, second))) == [
        ("duplicate", None),
        ("corrected", None),
        ("duplicate", None),
    ]
    with database.begin() as session:
        stream = streams.get(session, "digits")
        assert feedback.live_accuracy(session, stream) == {1: (0, 1)}


def test_an_image_that_joined_a_chunk_keeps_its_label(api: Running, database: Database) -> None:
    (one,) = predict(api, 1)
    name, label = one["prediction_id"], one["label"]
    give(api, (name, label))
    with database.begin() as session:
        stream = streams.get(session, "digits")
    chunk = create_chunk(database, stream, "feedback")
    with database.begin() as session:
        feedback.join(session, stream, [name], chunk)
    answer = give(api, (name, label), (name, other(label)))
    assert told(answer) == [("duplicate", None), ("refused", "in_chunk")]
    assert chunk.id in answer.json()["items"][1]["detail"]


def test_each_label_is_refused_by_itself_with_its_reason(
    api: Running, database: Database, blobs: Blobs
) -> None:
    good, second = (one["prediction_id"] for one in predict(api, 2))
    theirs = digits_stream(database, "theirs")
    learned(database, blobs, theirs)
    (foreign,) = predict(api, 1, "theirs")
    place = place_of(good)
    assert place is not None
    answer = give(
        api,
        (good, "3"),
        ("prd_nonsense", "3"),
        (foreign["prediction_id"], "3"),
        (Place(place.pack_id, 999).prediction_id, "3"),
        (second, "cat"),
        (second, "\u0007"),
        (second, ""),
        (aged(2 * 7 * 86_400), "3"),
        (aged(3600), "3"),
        (aged(0), "3"),
    )
    assert told(answer) == [
        ("accepted", None),
        ("refused", "unknown"),
        ("refused", "other_stream"),
        ("refused", "not_yet"),
        ("refused", "not_in_classes"),
        ("refused", "bad_label"),
        ("refused", "bad_label"),
        ("refused", "expired"),
        ("refused", "unknown"),
        ("refused", "not_yet"),
    ]
    assert answer.headers["retry-after"] == "2"
    assert "retry-after" not in give(api, (second, "3")).headers


def aged(seconds: float) -> str:
    """The id of a prediction of so many seconds ago that nobody knows."""
    token = predictions.new_pack_id().removeprefix("pck_")
    began = int(dt.datetime.now(dt.UTC).timestamp() - seconds)
    return Place(f"pck_{began:08x}{token[8:]}", 0).prediction_id


def test_an_open_list_takes_labels_that_it_never_had(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    with database.begin() as session:
        session.merge(stream).open_classes = True
    learned(database, blobs, stream)
    with running(service_settings(settings)) as api:
        (one,) = predict(api, 1)
        assert told(give(api, (one["prediction_id"], "letter a"))) == [("accepted", None)]


def test_what_another_process_has_in_memory_is_not_known_yet(
    api: Running, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "PACK_S", 3600)
    (one,) = predict(api, 1)
    with running(service_settings(settings)) as second:
        answer = give(second, (one["prediction_id"], "3"))
        assert told(answer) == [("refused", "not_yet")]
        assert answer.headers["retry-after"] == "2"
        assert told(give(api, (one["prediction_id"], "3"))) == [("accepted", None)]
        assert told(give(second, (one["prediction_id"], "3"))) == [("duplicate", None)]


def test_a_prediction_whose_pack_expired_is_not_known_any_more(
    api: Running, database: Database
) -> None:
    first, second = (one["prediction_id"] for one in predict(api, 2))
    place = place_of(second)
    assert place is not None
    api.app.state.watch.recorder.settle([place.pack_id], timeout_s=20)
    with database.begin() as session:
        stream = streams.get(session, "digits")
        until = packs.horizon(session, stream, keep_s=60, max_bytes=0)
        assert packs.expire(session, stream, until) == 1
        assert session.query(Pack).count() == 0
    assert told(give(api, (first, "3"), (second, "3"))) == [("refused", "not_yet")] * 2


def test_a_damaged_pack_spoils_its_own_labels_alone(
    api: Running, database: Database, blobs: Blobs
) -> None:
    (spoilt,) = predict(api, 1)
    place = place_of(spoilt["prediction_id"])
    assert place is not None
    api.app.state.watch.recorder.settle([place.pack_id], timeout_s=20)
    with database.begin() as session:
        blobs.local(session.query(Pack).one().digest).write_bytes(b"rotten")
    _, good = predict(api, 2)
    answer = give(api, (spoilt["prediction_id"], "3"), (good["prediction_id"], "3"))
    assert told(answer) == [("refused", "unknown"), ("accepted", None)]


def test_a_label_is_taken_without_looking_at_the_images(
    api: Running, database: Database, blobs: Blobs
) -> None:
    (one,) = predict(api, 1)
    place = place_of(one["prediction_id"])
    assert place is not None
    api.app.state.watch.recorder.settle([place.pack_id], timeout_s=20)
    with database.begin() as session:
        path = blobs.local(session.query(Pack).one().digest)
    image = png(images[0])
    path.write_bytes(path.read_bytes().replace(image, bytes(len(image))))
    assert told(give(api, (one["prediction_id"], one["label"]))) == [("accepted", None)]


def test_a_stream_that_opted_out_takes_no_labels(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    with database.begin() as session:
        session.merge(stream).policies = stream.policies | {"feedback": {"enabled": False}}
    learned(database, blobs, stream)
    with running(service_settings(settings)) as api:
        (one,) = predict(api, 1)
        told = problem(give(api, (one["prediction_id"], "3")), 409, "conflict")
        assert "keeps no predictions" in told["detail"]
    with database.begin() as session:
        assert session.query(Pack).count() == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({"prediction_id": "prd_1", "label": "3"}, ""),
        ([{"prediction_id": "prd_1"}], "/0/label"),
        ([{"prediction_id": "prd_1", "label": 3}], "/0/label"),
        ([{"prediction_id": "prd_1", "label": "3", "sure": True}], "/0/sure"),
        ([{"prediction_id": "x" * 101, "label": "3"}], "/0/prediction_id"),
        ([{"prediction_id": "prd_1", "label": "3"}] * 1001, ""),
    ],
)
def test_a_broken_envelope_is_refused_with_its_pointer(
    client: httpx.Client, stream: str, body: Any, pointer: str
) -> None:
    answer = client.post(f"/v1/streams/{stream}/feedback", json=body)
    assert problem(answer, 422)["errors"][0]["pointer"] == pointer


def test_an_unknown_stream_is_not_found(client: httpx.Client) -> None:
    body = [{"prediction_id": "prd_1", "label": "3"}]
    problem(client.post("/v1/streams/nobody/feedback", json=body), 404)


def test_the_document_tells_each_refusal(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    responses = paths["/v1/streams/{stream}/feedback"]["post"]["responses"]
    refused_at_the_gate = {"401", "403", "429"}
    own = {"200", "404", "408", "409", "413", "415", "422", "503"}
    assert set(responses) == own | refused_at_the_gate
    assert "Retry-After" in responses["200"]["headers"]
