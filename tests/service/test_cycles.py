from __future__ import annotations

import httpx
import pytest

from store import cycles, streams
from store.models import Stream
from tests.factories import admit_chunk, create_chunk, create_version
from tests.service.conftest import Plane
from tests.service.control import problem


@pytest.fixture
def row(plane: Plane, stream: str) -> Stream:
    with plane.database.begin() as session:
        return streams.get(session, stream)


def test_a_running_cycle_is_shown(plane: Plane, row: Stream) -> None:
    chunk = create_chunk(plane.database, row, row.name)
    admit_chunk(plane.database, row, chunk)
    with plane.database.begin() as session:
        claim = cycles.claim_next(session, row.id, worker="test", stale_s=10)
    assert claim is not None
    shown = plane.client.get(f"/v1/streams/{row.name}/cycles/{claim.cycle_id}").json()
    assert (shown["id"], shown["stream"], shown["chunks"]) == (claim.cycle_id, row.name, [chunk.id])
    assert (shown["state"], shown["attempt"], shown["strategy"]) == ("running", 1, "learn")
    assert shown["verdict"] is shown["version"] is shown["error"] is shown["progress"] is None


def test_cycles_come_newest_first_and_by_state(plane: Plane, row: Stream) -> None:
    made = [create_version(plane.database, row).cycle_id for _ in range(3)]
    url = f"/v1/streams/{row.name}/cycles"
    page = plane.client.get(url, params={"page_size": 2}).json()
    assert [item["id"] for item in page["items"]] == made[:0:-1]
    rest = plane.client.get(url, params={"page_token": page["next_page_token"]}).json()
    assert [item["id"] for item in rest["items"]] == made[:1]
    assert all(len(item["chunks"]) == 1 for item in page["items"])
    assert plane.client.get(url, params={"state": "failed"}).json()["items"] == []


def test_a_cycle_of_elsewhere_is_not_found(plane: Plane, row: Stream, client: httpx.Client) -> None:
    cycle = create_version(plane.database, row).cycle_id
    problem(client.get(f"/v1/streams/{plane.new_stream()}/cycles/{cycle}"), 404, "not-found")
    problem(client.get(f"/v1/streams/{row.name}/cycles/cyc_none"), 404, "not-found")
