"""What the client makes of answers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from lure.client import Client
from lure.errors import LureError, Unreachable

from .conftest import Answer, Scripted

BUSY = Answer(503, headers={"Retry-After": "0"})


def document(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode())


def test_a_problem_becomes_an_error_with_its_members(client: Client, scripted: Scripted) -> None:
    errors = [{"pointer": "/name", "detail": "too long"}]
    problem = {"title": "Bad name", "status": 422, "detail": "no", "errors": errors}
    scripted.answers = [Answer(422, json.dumps(problem).encode())]
    with pytest.raises(LureError) as caught:
        client.create_stream("x" * 99)
    error = caught.value
    assert (error.title, error.detail, error.status) == ("Bad name", "no", 422)
    assert error.errors == tuple(errors)
    assert str(error) == "Bad name: no\n  /name: too long"


def test_an_error_without_a_problem_is_told_as_it_is(client: Client, scripted: Scripted) -> None:
    scripted.answers = [Answer(502, b"<html>bad gateway</html>")]
    with pytest.raises(LureError, match="Bad Gateway: <html>"):
        client.streams()


def test_a_busy_service_is_asked_again(client: Client, scripted: Scripted) -> None:
    scripted.answers = [BUSY, Answer(429, headers={"Retry-After": "0"}), document({"name": "x"})]
    assert client.stream("x")["name"] == "x"
    assert len(scripted.requests) == 3


def test_retry_after_is_waited_for(client: Client, scripted: Scripted) -> None:
    scripted.answers = [Answer(503, headers={"Retry-After": "1"}), document({"name": "x"})]
    begun = time.monotonic()
    client.stream("x")
    assert time.monotonic() - begun >= 1.0


def test_a_service_that_stays_busy_is_an_error(client: Client, scripted: Scripted) -> None:
    scripted.answers = [BUSY]
    with pytest.raises(LureError) as caught:
        client.stream("x")
    assert caught.value.status == 503
    assert len(scripted.requests) == 3


def test_an_upload_is_repeated_whole_with_the_same_key(
    client: Client, scripted: Scripted, tmp_path: Path
) -> None:
    path = tmp_path / "chunk.zip"
    path.write_bytes(bytes(range(256)) * 10_000)
    scripted.answers = [Answer(200, drop=True), BUSY, Answer(202, b'{"id": "chk_1"}')]
    sent: list[int] = []
    assert client.upload("digits", path, on_bytes=sent.append)["id"] == "chk_1"
    assert [request.body for request in scripted.requests] == [path.read_bytes()] * 3
    assert len({request.headers["idempotency-key"] for request in scripted.requests}) == 1
    assert "transfer-encoding" not in scripted.requests[0].headers
    assert sent.count(0) == 3
    assert sent[-1] == path.stat().st_size


def test_a_rollback_is_not_repeated_when_its_answer_was_lost(
    client: Client, scripted: Scripted
) -> None:
    scripted.answers = [Answer(200, drop=True), document({"version": 1})]
    with pytest.raises(Unreachable):
        client.rollback("digits")
    assert len(scripted.requests) == 1


def test_a_rollback_is_not_repeated_after_a_503(client: Client, scripted: Scripted) -> None:
    scripted.answers = [BUSY, document({"version": 1})]
    with pytest.raises(LureError) as caught:
        client.rollback("digits")
    assert caught.value.status == 503
    assert len(scripted.requests) == 1


def test_images_are_sent_again_from_their_beginning(
    client: Client, scripted: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"pixels")
    scripted.answers = [BUSY, document({"predictions": []})]
    client.predict("digits", [tmp_path / "a.png", b"more"], version="@previous", top_k=3)
    assert all(b"pixels" in one.body and b"more" in one.body for one in scripted.requests)
    assert scripted.requests[0].path.endswith("/predictions?version=%40previous&top_k=3")


def test_all_pages_are_one(client: Client, scripted: Scripted) -> None:
    first = {"items": [1, 2], "next_page_token": "t", "more": "kept"}
    scripted.answers = [document(first), document({"items": [3], "next_page_token": None})]
    assert client.versions("x") == {"items": [1, 2, 3], "next_page_token": None, "more": "kept"}
    assert scripted.requests[1].path.endswith("&page_token=t")


def test_an_alias_is_moved_from_where_it_was_seen(client: Client, scripted: Scripted) -> None:
    seen = Answer(200, b"{}", headers={"ETag": '"3"'})
    scripted.answers = [seen, document({"version": 2})]
    assert client.move_alias("x", 2)["version"] == 2
    assert scripted.requests[1].headers["if-match"] == '"3"'


def test_waiting_goes_on_without_events(client: Client, scripted: Scripted) -> None:
    chunk = {"id": "chk_1", "state": "learning"}
    scripted.answers = [
        document(chunk),
        Answer(404),  # no events here
        document(chunk),
        Answer(404),
        document({**chunk, "state": "learned"}),
    ]
    assert client.wait_for_chunk("x", "chk_1")["state"] == "learned"


def test_waiting_ends_when_its_time_is_over(client: Client, scripted: Scripted) -> None:
    scripted.answers = [document({"id": "chk_1", "state": "received"})]
    with pytest.raises(LureError, match="still received after 0 s"):
        client.wait_for_chunk("x", "chk_1", timeout_s=0.0)
