from __future__ import annotations

import pytest
from sqlalchemy import inspect

from store import chunks, lineage, scores, serving, streams, versions
from store.blobs import Blobs
from store.blobs.folder import Folder
from store.models import Stream, Version
from tests.factories import create_version
from tests.service.conftest import Plane
from tests.service.control import problem


@pytest.fixture
def row(plane: Plane, stream: str) -> Stream:
    with plane.database.begin() as session:
        return streams.get(session, stream)


def test_a_version_is_shown_with_its_record_and_names(plane: Plane, row: Stream) -> None:
    first = create_version(plane.database, row)
    create_version(plane.database, row)
    shown = plane.client.get(f"/v1/streams/{row.name}/versions/1").json()
    assert (shown["version"], shown["stream"], shown["parent"]) == (1, row.name, None)
    assert (shown["cycle"], shown["chunks"]) == (first.cycle_id, first.chunks)
    assert (shown["metrics"], shown["state"]) == ({"accuracy": 0.9}, "ready")
    assert (shown["digest"], shown["bytes"]) == (f"sha256:{first.digest}", 1)
    assert shown["aliases"] == ["previous"]


def test_a_version_shows_what_it_replayed_and_the_classes_that_it_knows(
    plane: Plane, row: Stream
) -> None:
    replayed = {"kind": "buffer", "images": 40, "sha256": "9f86d0"}
    create_version(plane.database, row)  # made before either was recorded
    create_version(plane.database, row, known_classes=1, replayed=replayed)
    url = f"/v1/streams/{row.name}/versions"
    second, first = plane.client.get(url).json()["items"]
    assert (first["classes"], first["replayed"]) == (["0", "1"], None)
    assert (second["classes"], second["replayed"]) == (["0"], replayed)
    assert plane.client.get(f"{url}/2").json() == second | {"inputs": None}


def test_a_version_shows_what_it_was_made_from(plane: Plane, row: Stream) -> None:
    first = create_version(plane.database, row)
    second = create_version(
        plane.database,
        row,
        config={"architecture": "resnet20s"},
        replayed={"kind": "full", "images": 40, "sha256": "9f86d0"},
        environment={"seed": 7, "libraries": {"torch": "2.0"}},
    )
    shown = plane.client.get(f"/v1/streams/{row.name}/versions/2").json()["inputs"]
    assert shown == {
        "new": [named(plane, second)],
        "past": [named(plane, first)],
        "replay_digest": "9f86d0",
        "parent": {"version": 1, "digest": f"sha256:{first.digest}"},
        "seed": 7,
        "libraries": {"torch": "2.0"},
        "config": {"architecture": "resnet20s"},
    }


def named(plane: Plane, version: Version) -> dict[str, str]:
    """The chunk that a version learned, by its id and its digests."""
    with plane.database.begin() as session:
        (chunk,) = chunks.by_ids(session, version.chunks)
    digests = {"digest": f"sha256:{chunk.digest}", "file": f"sha256:{chunk.file_digest}"}
    return {"chunk": chunk.id, **digests}


def test_what_grows_with_every_chunk_is_shown_of_one_version_alone(
    plane: Plane, row: Stream
) -> None:
    entries = [{"chunk": "chk_1", "images": 10, "correct": 9, "accuracy": 0.9}]
    digest = Blobs(Folder(plane.blobs), plane.database).put_bytes(scores.packed(entries))
    create_version(plane.database, row, config={"classes": ["0", "1"]}, scores_digest=digest)
    url = f"/v1/streams/{row.name}/versions"
    (listed,) = plane.client.get(url).json()["items"]
    assert listed["metrics"] == {"accuracy": 0.9}
    assert "inputs" not in listed
    whole = plane.client.get(f"{url}/1").json()
    assert whole["metrics"] == listed["metrics"] | {"per_chunk": entries}


def test_lists_and_replicas_read_no_more_of_a_version_than_they_tell(
    plane: Plane, row: Stream
) -> None:
    agreement = {"bf16": 0.998, "images": 500, "device": "cpu"}
    metrics = {"accuracy": 0.9, "agreement": agreement}
    create_version(plane.database, row, config={}, metrics=metrics)
    with plane.database.begin() as session:
        (listed,) = versions.page(session, row, size=10).items
    with plane.database.begin() as session:
        (node,) = lineage.newest(session, row, limit=10)
    assert (listed.accuracy, node.version.accuracy) == (0.9, 0.9)
    assert "config" in inspect(listed).unloaded
    assert {"config", "metrics", "verdict"} <= inspect(node.version).unloaded
    with plane.database.begin() as session:
        served = {found.name: version for found, version in serving.champions(session)}[row.name]
    assert served.agreement == agreement
    assert {"config", "metrics", "environment"} <= inspect(served).unloaded


def test_versions_come_newest_first(plane: Plane, row: Stream) -> None:
    for _ in range(3):
        create_version(plane.database, row)
    url = f"/v1/streams/{row.name}/versions"
    page = plane.client.get(url, params={"page_size": 2}).json()
    assert [item["version"] for item in page["items"]] == [3, 2]
    assert [item["aliases"] for item in page["items"]] == [["champion"], ["previous"]]
    rest = plane.client.get(url, params={"page_token": page["next_page_token"]}).json()
    assert [item["version"] for item in rest["items"]] == [1]


@pytest.mark.parametrize(
    ("number", "status"), [("9", 404), ("0", 422), ("x", 422), ("9" * 30, 422)]
)
def test_what_is_no_version_is_refused(plane: Plane, stream: str, number: str, status: int) -> None:
    problem(plane.client.get(f"/v1/streams/{stream}/versions/{number}"), status)


def test_weights_are_deleted_once_and_for_all_and_the_record_stays(
    plane: Plane, row: Stream
) -> None:
    for _ in range(3):
        create_version(plane.database, row)
    url = f"/v1/streams/{row.name}/versions/1"
    assert [plane.client.delete(f"{url}/weights").status_code for _ in range(2)] == [204, 204]
    shown = plane.client.get(url).json()
    assert (shown["state"], shown["metrics"]) == ("weights_deleted", {"accuracy": 0.9})
    for refused in (
        plane.client.post(
            f"/v1/streams/{row.name}/predictions",
            params={"version": 1},
            content=b"\x89PNG",
            headers={"content-type": "image/png"},
        ),
        plane.client.put(
            f"/v1/streams/{row.name}/aliases/mine",
            json={"version": 1},
            headers={"if-none-match": "*"},
        ),
    ):
        assert "weights_deleted" in problem(refused, 409, "conflict")["detail"]


def test_weights_that_a_name_points_at_are_not_deleted(plane: Plane, row: Stream) -> None:
    for _ in range(2):
        create_version(plane.database, row)
    for number, alias in ((2, "champion"), (1, "previous")):
        refused = plane.client.delete(f"/v1/streams/{row.name}/versions/{number}/weights")
        assert f"alias {alias} points at it" in problem(refused, 409, "conflict")["detail"]
    problem(plane.client.delete(f"/v1/streams/{row.name}/versions/9/weights"), 404, "not-found")
