"""Reruns over HTTP; a test stands in for the worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from store import reruns, streams
from store.models import Stream
from tests.factories import create_version, with_inputs
from tests.service.conftest import Plane
from tests.service.control import problem

RESULT: dict[str, Any] = {
    "identical": True,
    "digest": "ab" * 32,
    "circumstances": {},
    "metrics": {"accuracy": 0.9},
    "timings": {"relearn": 1.5},
    "images_per_s": 200.0,
    "flops": {"relearn": 7},
    "epochs": 2,
    "best_epoch": 2,
    "trained": 100,
    "environment": {"device": "cpu"},
}


@pytest.fixture
def row(plane: Plane, stream: str) -> Stream:
    """A stream with two versions that kept their inputs."""
    with plane.database.begin() as session:
        found = streams.get(session, stream)
    for _ in range(2):
        with_inputs(plane.database, found)
    return found


def ask(client: httpx.Client, row: Stream, version: int = 2, **how: Any) -> httpx.Response:
    return client.post(f"/v1/streams/{row.name}/versions/{version}:reproduce", **how)


def listed(client: httpx.Client, row: Stream, **query: Any) -> list[str]:
    page = client.get(f"/v1/streams/{row.name}/reruns", params=query).json()
    return [item["id"] for item in page["items"]]


def finish(plane: Plane, row: Stream, rerun_id: str) -> None:
    with plane.database.begin() as session:
        # those that other tests asked for stand in line before it
        while claim := reruns.claim_next(session, worker="test", stale_s=10):
            if claim.rerun_id == rerun_id:
                reruns.succeed(session, row, claim, RESULT)


def test_it_is_accepted_shown_and_told_when_it_is_over(
    plane: Plane, client: httpx.Client, row: Stream
) -> None:
    answer = ask(client, row)
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    asked = answer.json()
    assert (asked["version"], asked["method"], asked["reason"]) == (2, "reproduce", "asked")
    assert (asked["state"], asked["result"]) == ("queued", None)
    where = answer.headers["location"]
    assert where == f"/v1/streams/{row.name}/reruns/{asked['id']}"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, where, headers={"prefer": "wait=30"})
        finish(plane, row, asked["id"])
        shown = waiting.result()
    assert shown.headers["preference-applied"] == "wait=30"
    assert shown.json()["state"] == "succeeded"
    assert shown.json()["result"] == {
        **RESULT,
        "digest": f"sha256:{'ab' * 32}",
        **dict.fromkeys(("tensors", "differing_tensors", "max_difference", "agreement")),
    }


def test_whoever_would_wait_no_longer_sees_it_as_it_is(client: httpx.Client, row: Stream) -> None:
    answer = ask(client, row, json={"method": "warm"}, headers={"prefer": "wait=0"})
    assert answer.headers["preference-applied"] == "wait=0"
    assert (answer.json()["method"], answer.json()["state"]) == ("warm", "queued")


def test_the_same_key_asks_once(client: httpx.Client, row: Stream) -> None:
    key = {"idempotency-key": f"{row.name}/1"}
    first, again = ask(client, row, headers=key), ask(client, row, headers=key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert listed(client, row) == [first.json()["id"]]
    problem(ask(client, row, json={"method": "warm"}, headers=key), 422, "key-reused")


def test_they_come_newest_first_and_by_state(client: httpx.Client, row: Stream) -> None:
    asked = [ask(client, row).json()["id"] for _ in range(2)]
    assert listed(client, row) == asked[::-1]
    assert listed(client, row, page_size=1, state="queued") == asked[1:]
    assert listed(client, row, state="failed") == []


def test_what_cannot_be_run_again_is_refused_with_the_reason(
    plane: Plane, client: httpx.Client, row: Stream
) -> None:
    create_version(plane.database, row)
    told = problem(ask(client, row, 3), 409, "conflict")
    assert "before versions kept their configuration" in told["detail"]
    problem(ask(client, row, 1, json={"method": "scratch"}), 409, "conflict")
    problem(ask(client, row, 9), 404, "not-found")
    [fault] = problem(ask(client, row, json={"method": "magic"}), 422, "invalid")["errors"]
    assert fault["pointer"] == "/method"
    assert listed(client, row) == []


def test_one_of_elsewhere_is_not_found(plane: Plane, client: httpx.Client, row: Stream) -> None:
    rerun = ask(client, row).json()["id"]
    problem(client.get(f"/v1/streams/{plane.new_stream()}/reruns/{rerun}"), 404, "not-found")
    problem(client.get(f"/v1/streams/{row.name}/reruns/rer_none"), 404, "not-found")
    problem(client.post("/v1/streams/none/versions/1:reproduce"), 404, "not-found")


def test_one_that_is_not_over_can_be_stopped(client: httpx.Client, row: Stream) -> None:
    where = ask(client, row).headers["location"]
    stopped = client.post(f"{where}:cancel")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "cancelled")
    assert stopped.json()["finished_at"] is not None
    told = problem(client.post(f"{where}:cancel"), 409, "conflict")
    assert told["detail"] == "a rerun that is cancelled cannot become cancelled"
    problem(client.post(f"/v1/streams/{row.name}/reruns/rer_none:cancel"), 404, "not-found")
