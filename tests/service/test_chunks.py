from __future__ import annotations

import base64
import hashlib
import threading

import httpx
import pytest
import redis

from store import chunks, cycles, streams
from store.jobs import ADMIT_QUEUE, LEARN_QUEUE
from store.models import Chunk, Stream
from store.states import ChunkState
from tests.digits import digits_npz, digits_zip
from tests.factories import admit_chunk, create_chunk
from tests.service.conftest import Plane
from tests.service.control import NPZ, ZIP, connect, head, problem, push, read_answer


def row(plane: Plane, stream: str) -> Stream:
    with plane.database.begin() as session:
        return streams.get(session, stream)


def test_a_zip_is_accepted_and_stored_under_its_digest(plane: Plane, stream: str) -> None:
    data = digits_zip(range(30))
    answer = push(plane.client, stream, data)
    assert answer.status_code == 202
    chunk = answer.json()
    assert answer.headers["location"] == f"/v1/streams/{stream}/chunks/{chunk['id']}"
    assert answer.headers["retry-after"] == "1"
    digest = hashlib.sha256(data).hexdigest()
    assert (chunk["digest"], chunk["bytes"]) == (f"sha256:{digest}", len(data))
    assert (chunk["state"], chunk["position"], chunk["duplicate"]) == ("received", 1, False)
    assert (plane.blobs / "sha256" / digest[:2] / digest).read_bytes() == data
    shown = plane.client.get(answer.headers["location"]).json()
    assert shown == {name: chunk[name] for name in shown}
    assert "duplicate" not in shown


@pytest.mark.parametrize("media_type", ["application/zip", "application/x-zip-compressed"])
def test_a_zip_goes_by_both_names(client: httpx.Client, stream: str, media_type: str) -> None:
    answer = push(client, stream, digits_zip(range(9)), {"content-type": media_type})
    assert answer.json()["media_type"] == "application/zip"


def test_arrays_are_accepted(client: httpx.Client, stream: str) -> None:
    answer = push(client, stream, digits_npz(range(30)), NPZ)
    assert (answer.status_code, answer.json()["media_type"]) == (202, "application/x-npz")


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.zip", "application/zip", "application/zip"),
        ("a.ZIP", "application/octet-stream", "application/zip"),
        ("a.npz", "application/octet-stream", "application/x-npz"),
        ("blob", "application/x-npz", "application/x-npz"),
    ],
)
def test_the_file_of_a_form_is_taken(
    client: httpx.Client, stream: str, name: str, media_type: str, kind: str
) -> None:
    data = digits_npz(range(9)) if "npz" in kind else digits_zip(range(9))
    answer = client.post(
        f"/v1/streams/{stream}/chunks",
        data={"note": "from a browser"},
        files={"file": (name, data, media_type)},
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["media_type"] == kind
    assert answer.json()["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_large_file_of_a_form_arrives_whole(plane: Plane, stream: str) -> None:
    data = digits_zip(range(50), {"0/noise.png": bytes(range(256)) * 20_000})
    answer = plane.client.post(
        f"/v1/streams/{stream}/chunks", files={"file": ("a.zip", data, "application/zip")}
    )
    assert answer.json()["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_right_digest_is_accepted(client: httpx.Client, stream: str) -> None:
    data = digits_zip(range(9))
    told = base64.b64encode(hashlib.sha256(data).digest()).decode()
    digest = f"sha-256=:{told}:, unixsum=:AAAA:"
    assert push(client, stream, data, content_digest=digest).status_code == 202


def test_who_asks_first_may_send(plane: Plane, stream: str) -> None:
    data = digits_zip(range(9))
    with connect(plane.url) as connection:
        length = str(len(data))
        wish = {"expect": "100-continue", "connection": "close"}
        connection.sendall(head(stream, content_length=length, **wish))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(data)
        assert read_answer(connection).startswith(b"HTTP/1.1 202 ")


def test_the_same_bytes_are_the_same_chunk(client: httpx.Client, stream: str) -> None:
    data = digits_zip(range(30))
    first = push(client, stream, data).json()
    again = push(client, stream, data)
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["duplicate"]) == (first["id"], True)
    assert len(client.get(f"/v1/streams/{stream}/chunks").json()["items"]) == 1


def test_the_same_bytes_in_another_stream_are_another_chunk(plane: Plane, stream: str) -> None:
    data = digits_zip(range(30))
    push(plane.client, stream, data)
    assert push(plane.client, plane.new_stream(), data).status_code == 202


def test_the_same_bytes_return_after_a_rejection(plane: Plane, stream: str) -> None:
    data = digits_zip(range(30))
    first = push(plane.client, stream, data).json()["id"]
    with plane.database.begin() as session:
        owner = streams.get(session, stream)
        chunks.reject(session, owner, chunks.get(session, owner, first), "no good", report=None)
    again = push(plane.client, stream, data)
    assert (again.status_code, again.json()["position"]) == (202, 2)


def test_the_workers_are_woken(plane: Plane, stream: str) -> None:
    chunk = push(plane.client, stream, digits_zip(range(9))).json()["id"]
    with redis.Redis.from_url(plane.redis_url) as queue:
        assert any(chunk.encode() in message for message in queue.lrange(ADMIT_QUEUE, 0, -1))


def test_chunks_come_in_pages_and_by_state(plane: Plane, stream: str) -> None:
    owner = row(plane, stream)
    made = [create_chunk(plane.database, owner, f"{stream}/{n}") for n in range(4)]
    admit_chunk(plane.database, owner, made[0])
    url = f"/v1/streams/{stream}/chunks"
    page = plane.client.get(url, params={"page_size": 3}).json()
    assert [item["position"] for item in page["items"]] == [4, 3, 2]
    token = page["next_page_token"]
    rest = plane.client.get(url, params={"page_size": 3, "page_token": token}).json()
    assert [item["position"] for item in rest["items"]] == [1]
    assert rest["next_page_token"] is None
    admitted = plane.client.get(url, params={"state": "admitted"}).json()
    assert [item["id"] for item in admitted["items"]] == [made[0].id]
    problem(plane.client.get(url, params={"state": "lost"}), 422)


def test_the_report_comes_with_admission(plane: Plane, stream: str) -> None:
    owner = row(plane, stream)
    chunk = create_chunk(plane.database, owner, stream)
    url = f"/v1/streams/{stream}/chunks/{chunk.id}/report"
    problem(plane.client.get(url), 409, "conflict")
    admit_chunk(plane.database, owner, chunk)
    report = plane.client.get(url).json()
    assert (report["chunk"], report["state"]) == (chunk.id, "admitted")
    assert (report["images"], report["refused"], report["items"]) == (10, 0, [])


def test_a_chunk_rejected_without_a_report_says_why(plane: Plane, stream: str) -> None:
    owner = row(plane, stream)
    chunk = create_chunk(plane.database, owner, stream)
    with plane.database.begin() as session:
        found = chunks.get(session, owner, chunk.id)
        chunks.reject(session, owner, found, "decoding it killed 5 workers", report=None)
    report = plane.client.get(f"/v1/streams/{stream}/chunks/{chunk.id}/report").json()
    assert (report["state"], report["images"]) == ("rejected", 0)
    assert report["error"] == "decoding it killed 5 workers"


def failed(plane: Plane, stream: str) -> Chunk:
    owner = row(plane, stream)
    chunk = create_chunk(plane.database, owner, stream)
    admit_chunk(plane.database, owner, chunk)
    with plane.database.begin() as session:
        claim = cycles.claim_next(session, owner.id, worker="test", stale_s=10)
        assert claim is not None
        cycles.fail(session, streams.lock(session, owner.id), cycles.fenced(session, claim), "no")
    return chunk


def test_a_failed_chunk_is_released_and_the_learner_woken(plane: Plane, stream: str) -> None:
    chunk = failed(plane, stream)
    with redis.Redis.from_url(plane.redis_url) as queue:
        queue.delete(LEARN_QUEUE)
        answer = plane.client.post(f"/v1/streams/{stream}/chunks/{chunk.id}:release")
        assert (answer.status_code, answer.json()["state"]) == (200, "admitted")
        assert answer.json()["position"] == 2
        assert queue.llen(LEARN_QUEUE) == 1


def test_only_a_failed_chunk_is_released(plane: Plane, stream: str) -> None:
    chunk = create_chunk(plane.database, row(plane, stream), stream)
    problem(plane.client.post(f"/v1/streams/{stream}/chunks/{chunk.id}:release"), 409, "conflict")


@pytest.mark.parametrize("path", ["{other}", "chk_none", "chk_none/report", "{other}/report"])
def test_a_chunk_of_elsewhere_is_not_found(plane: Plane, stream: str, path: str) -> None:
    elsewhere = plane.new_stream()
    other = create_chunk(plane.database, row(plane, elsewhere), elsewhere)
    url = f"/v1/streams/{stream}/chunks/{path.format(other=other.id)}"
    problem(plane.client.get(url), 404, "not-found")


def test_who_prefers_to_wait_hears_of_the_admission(plane: Plane, stream: str) -> None:
    owner = row(plane, stream)

    def admit_the_first() -> None:
        while True:
            with plane.database.begin() as session:
                found = chunks.page(session, owner, size=1).items
            if found:
                admit_chunk(plane.database, owner, found[0])
                return

    worker = threading.Thread(target=admit_the_first)
    worker.start()
    answer = push(plane.client, stream, digits_zip(range(9)), prefer="respond-async, wait=20")
    worker.join()
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=20"
    assert (answer.json()["state"], answer.json()["duplicate"]) == (ChunkState.ADMITTED, False)


def test_the_wait_ends_in_time(client: httpx.Client, stream: str) -> None:
    answer = push(client, stream, digits_zip(range(9)), ZIP, prefer="wait=1")
    assert (answer.status_code, answer.json()["state"]) == (202, "received")
