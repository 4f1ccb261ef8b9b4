"""Uploads under a key; that of streams is in test_streams."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from store import chunks, streams
from tests.digits import digits_zip
from tests.service.conftest import Plane
from tests.service.control import files, problem, push

DATA = digits_zip(range(30))


def test_the_same_key_gives_the_first_answer_though_the_chunk_went_on(
    plane: Plane, stream: str
) -> None:
    first = push(plane.client, stream, DATA, idempotency_key="one")
    with plane.database.begin() as session:
        owner = streams.get(session, stream)
        chunk = chunks.get(session, owner, first.json()["id"])
        chunks.reject(session, owner, chunk, "no good", report=None)
    again = push(plane.client, stream, DATA, idempotency_key='"one"')
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert len(plane.client.get(f"/v1/streams/{stream}/chunks").json()["items"]) == 1


def test_another_payload_under_the_key_is_refused_and_not_kept(plane: Plane, stream: str) -> None:
    push(plane.client, stream, DATA, idempotency_key="two")
    before = files(plane.blobs)
    other = push(plane.client, stream, digits_zip(range(5)), idempotency_key="two")
    problem(other, 422, "key-reused")
    assert files(plane.blobs) == before
    assert len(plane.client.get(f"/v1/streams/{stream}/chunks").json()["items"]) == 1


def test_a_refusal_does_not_use_the_key_up(client: httpx.Client, stream: str) -> None:
    problem(push(client, stream, DATA[:-30], idempotency_key="three"), 422)
    assert push(client, stream, DATA, idempotency_key="three").status_code == 202


def test_a_key_belongs_to_its_stream(plane: Plane, stream: str) -> None:
    push(plane.client, stream, DATA, idempotency_key="four")
    other = push(plane.client, plane.new_stream(), DATA, idempotency_key="four")
    assert (other.status_code, other.json()["duplicate"]) == (202, False)


def test_a_duplicate_under_a_new_key_is_answered_as_one(client: httpx.Client, stream: str) -> None:
    push(client, stream, DATA)
    for _ in range(2):
        answer = push(client, stream, DATA, idempotency_key="five")
        assert (answer.status_code, answer.json()["duplicate"]) == (200, True)


def test_equal_uploads_in_one_instant_get_one_answer(plane: Plane, stream: str) -> None:
    def send(_: int) -> httpx.Response:
        with httpx.Client(base_url=plane.url, timeout=30) as client:
            return push(client, stream, DATA, idempotency_key="six")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1


def test_different_uploads_under_one_key_in_one_instant_leave_one(
    plane: Plane, stream: str
) -> None:
    def send(number: int) -> int:
        with httpx.Client(base_url=plane.url, timeout=30) as client:
            data = digits_zip(range(number, number + 5))
            return push(client, stream, data, idempotency_key="seven").status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(send, range(6)))
    assert statuses == [202] + [422] * 5
    assert len(plane.client.get(f"/v1/streams/{stream}/chunks").json()["items"]) == 1
