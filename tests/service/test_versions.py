from __future__ import annotations

import pytest

from store import streams
from store.models import Stream
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
    chunk = {"chunk": "chk_1", "digest": "aa", "file": "bb"}
    inputs = {
        "config": {"architecture": "resnet20s"},
        "new": [chunk],
        "past": [],
        "parent": {"version": 1, "digest": "cc"},
    }
    create_version(
        plane.database,
        row,
        inputs=inputs,
        replayed={"kind": "full", "images": 40, "sha256": "9f86d0"},
        environment={"seed": 7, "libraries": {"torch": "2.0"}},
    )
    shown = plane.client.get(f"/v1/streams/{row.name}/versions/1").json()["inputs"]
    assert shown == {
        "new": [{"chunk": "chk_1", "digest": "sha256:aa", "file": "sha256:bb"}],
        "past": [],
        "replay_digest": "9f86d0",
        "parent": {"version": 1, "digest": "sha256:cc"},
        "seed": 7,
        "libraries": {"torch": "2.0"},
        "config": {"architecture": "resnet20s"},
    }


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
