from __future__ import annotations

from typing import Any

from store.keys import ADMIN, INGEST, PREDICT, READ
from tests.service.access.conftest import Closed, entries


def test_a_change_is_written_down_with_who_and_what(closed: Closed) -> None:
    _, text = closed.make(ADMIN, name="maria")
    asked = {"json": {"name": "audited"}, "headers": {"x-request-id": "r-17"}}
    assert closed.ask(text, "POST", "/v1/streams", **asked).status_code == 201
    newest = entries(closed.database, "create_stream")[0]
    assert (newest.who, newest.status, newest.request_id) == ("maria", 201, "r-17")
    assert newest.key_id is not None
    assert (newest.target, newest.address) == ("/v1/streams", "127.0.0.1")
    assert newest.data == {"location": "/v1/streams/audited"}


def test_a_change_that_failed_is_written_down_too(closed: Closed) -> None:
    closed.ask(closed.admin, "POST", "/v1/streams/nowhere/aliases/champion:rollback")
    newest = entries(closed.database, "rollback_alias")[0]
    assert (newest.stream, newest.status) == ("nowhere", 404)


def test_what_is_refused_to_a_known_key_is_written_down(closed: Closed) -> None:
    _, text = closed.make(INGEST, name="camera", stream="mine")
    closed.ask(text, "GET", "/v1/streams/mine/versions")
    closed.ask(text, "GET", "/v1/streams/other/chunks")
    first, second = (
        entries(closed.database, action)[0] for action in ("list_versions", "list_chunks")
    )
    assert (first.who, first.status, first.data) == ("camera", 403, {"refused": "scope"})
    assert (second.stream, second.status, second.data) == ("other", 403, {"refused": "stream"})


def test_of_very_many_refusals_only_some_are_written_down(closed: Closed) -> None:
    row, text = closed.make(READ)
    for _ in range(130):  # a minute may begin anew among them
        assert closed.ask(text, "POST", "/v1/streams").status_code == 403
    mine = [one for one in entries(closed.database, "create_stream") if one.key_id == row.id]
    assert 60 <= len(mine) <= 120


def test_predictions_and_feedback_and_reading_are_not_written_down(closed: Closed) -> None:
    _, text = closed.make(PREDICT, INGEST, READ)
    closed.ask(text, "POST", "/v1/streams/x/predictions")
    closed.ask(text, "POST", "/v2/models/x/infer")
    closed.ask(text, "POST", "/v1/streams/x/feedback", json=[])
    closed.ask(text, "POST", "/v2/repository/index")
    closed.ask(text, "GET", "/v1/streams")
    for action in ("predict", "infer", "give_feedback", "list_repository", "list_streams"):
        assert entries(closed.database, action) == []


def test_no_text_of_a_key_is_written_down(closed: Closed) -> None:
    wish: dict[str, Any] = {"name": "a", "scopes": ["read"], "requests_per_minute": 7}
    wish |= {"expires_at": "2999-01-01T00:00:00Z"}
    made = closed.ask(closed.admin, "POST", "/v1/keys", json=wish)
    newest = entries(closed.database, "create_key")[0]
    assert newest.data is not None
    assert newest.data["requests_per_minute"] == 7
    assert newest.data["expires_at"].startswith("2999-01-01")
    assert newest.data["key"] == made.json()["id"]
    assert made.json()["key"] not in repr(newest.data)


def test_of_a_webhook_its_host_is_written_down(closed: Closed) -> None:
    url = "https://hooks.example.org/secret-path"
    answer = closed.ask(closed.admin, "POST", "/v1/webhooks", json={"url": url})
    assert answer.status_code == 201, answer.text
    data = entries(closed.database, "create_webhook")[0].data
    assert data is not None
    assert data["host"] == "hooks.example.org"
    assert "secret-path" not in repr(data)


def test_the_log_is_read_page_by_page_and_by_stream(closed: Closed) -> None:
    for name in ("a-log", "b-log", "a-log"):
        closed.ask(closed.admin, "POST", f"/v1/streams/{name}/aliases/champion:rollback")
    page = closed.ask(closed.admin, "GET", "/v1/audit?stream=a-log&page_size=1").json()
    assert [one["stream"] for one in page["items"]] == ["a-log"]
    path = f"/v1/audit?stream=a-log&page_token={page['next_page_token']}"
    rest = closed.ask(closed.admin, "GET", path).json()
    assert [one["stream"] for one in rest["items"]] == ["a-log"]
    assert rest["next_page_token"] is None
