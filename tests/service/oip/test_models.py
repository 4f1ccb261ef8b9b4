"""What is told of models that serve nothing, of versions without weights, and of growing lists."""

from __future__ import annotations

from itertools import count

import pytest

from store import streams
from store.blobs import Blobs
from store.engine import Database
from store.models import Stream, Version
from store.states import VersionState
from tests.service.serving import SPEC, Running, digits_stream, learned

_numbers = count(1)


@pytest.fixture
def database(api: Running) -> Database:
    found: Database = api.app.state.database
    return found


@pytest.fixture
def fresh(database: Database) -> Stream:
    """A stream without a version."""
    return digits_stream(database, f"fresh-{next(_numbers)}")


@pytest.fixture
def blobs(api: Running) -> Blobs:
    found: Blobs = api.app.state.blobs
    return found


def test_a_model_without_a_version_is_there_and_not_ready(api: Running, fresh: Stream) -> None:
    url = f"/v2/models/{fresh.name}"
    assert api.client.get(url).status_code == 409
    answer = api.client.get(f"{url}/ready")
    assert (answer.status_code, answer.json()) == (503, {"name": fresh.name, "ready": False})
    assert api.client.post(f"{url}/infer", json={}).status_code == 409
    assert fresh.name not in api.client.get("/v2/models").json()["models"]
    assert api.client.get(f"{url}/stats").json() == {"model_stats": []}


def test_versions_without_weights_are_not_offered(
    api: Running, fresh: Stream, database: Database, blobs: Blobs
) -> None:
    for seed in range(2):
        learned(database, blobs, fresh, seed=seed, champion=seed == 1, architecture="mlp")
    with database.begin() as session:
        row = session.get(Version, (fresh.id, 1))
        assert row is not None
        row.state = VersionState.WEIGHTS_DELETED
    url = f"/v2/models/{fresh.name}"
    assert api.client.get(url).json()["versions"] == ["2"]
    assert api.client.get(f"{url}/versions/1/ready").status_code == 503
    whole = [
        one for one in api.client.post("/v2/repository/index").json() if one["name"] == fresh.name
    ]
    assert [(one["version"], one["state"], one["reason"]) for one in whole] == [
        ("1", "UNAVAILABLE", "weights_deleted"),
        ("2", "READY", ""),
    ]
    ready = api.client.post("/v2/repository/index", json={"ready": True}).json()
    assert [one["version"] for one in ready if one["name"] == fresh.name] == ["2"]


def test_a_version_tells_the_classes_that_it_knows_of_a_list_that_grew(
    api: Running, fresh: Stream, database: Database, blobs: Blobs
) -> None:
    learned(database, blobs, fresh, architecture="mlp")
    with database.begin() as session:
        row = streams.lock(session, fresh.id)
        row.open_classes, row.classes = True, [*(row.classes or []), "new"]
        version = session.get(Version, (fresh.id, 1))
        assert version is not None
        version.known_classes = 10
    told = api.client.get(f"/v2/models/{fresh.name}").json()
    assert told["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}
    assert len(told["parameters"]["classes"]) == 10
    shapes = {one["name"]: one["shape"] for one in told["inputs"]}
    assert shapes == {
        "images": [-1, SPEC.channels, SPEC.height, SPEC.width],
        "images_nhwc": [-1, SPEC.height, SPEC.width, SPEC.channels],
        "images_fp32": [-1, SPEC.channels, SPEC.height, SPEC.width],
        "images_encoded": [-1],
    }
