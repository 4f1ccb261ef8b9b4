from __future__ import annotations

import base64
import threading
from typing import Any

import httpx
import pytest

from service.api import webhooks as api
from store import deliveries, events, schema, webhooks
from tests.lure.test_cli import DONE, FAILED, lure
from tests.service.conftest import Plane

URL = "https://hook.example/lure"
SECRET = webhooks.SECRET + base64.b64encode(b"0123456789" * 3).decode()


def make(client: httpx.Client, query: str = "", **wish: Any) -> dict[str, Any]:
    made = client.post(f"/v1/webhooks{query}", json={"url": URL} | wish)
    assert made.status_code == 201, made.text
    return made.json()


def test_its_secret_is_told_once(plane: Plane, client: httpx.Client) -> None:
    made = client.post("/v1/webhooks", json={"url": URL, "events": ["chunk.*", "cycle.finished"]})
    body = made.json()
    assert made.headers["location"] == f"/v1/webhooks/{body['id']}"
    assert made.headers["cache-control"] == "no-store"
    assert len(webhooks.secret_bytes(body.pop("secret"))) == 32
    shown = client.get(made.headers["location"])
    assert shown.json() == body
    assert "secret" not in shown.text
    assert "whsec_" not in client.get("/v1/webhooks").text
    assert (body["paused"], body["delivered"], body["test"]) == (False, 0, None)
    with plane.database.begin() as session:
        assert body["after_event"] == events.last_id(session)


def test_a_secret_can_be_given(plane: Plane, client: httpx.Client) -> None:
    made = make(client, secret=SECRET)
    assert made["secret"] == SECRET
    with plane.database.begin() as session:
        assert webhooks.get(session, made["id"]).secret == SECRET


def test_it_can_begin_in_the_past_and_not_in_the_future(client: httpx.Client, stream: str) -> None:
    assert make(client, "?from_event=0")["after_event"] == 0
    now = make(client)["after_event"]
    assert make(client, f"?from_event={now + 1000}")["after_event"] == now
    assert make(client, stream=stream)["stream"] == stream


@pytest.mark.parametrize(
    ("wish", "pointer", "words"),
    [
        ({"url": "ftp://hook.example/"}, "/url", "http"),
        ({"url": "http://127.0.0.1/"}, "/url", "not public"),
        ({"url": "http://user:pw@hook.example/"}, "/url", "no user"),
        ({"events": ["chunk.recieved"]}, "/events/0", "chunk.received"),
        ({"events": ["*"]}, "/events/0", "there is no event"),
        ({"events": []}, "/events", "at least 1"),
        ({"secret": "hunter2"}, "/secret", "whsec_"),
        ({"secret": "whsec_c2hvcnQ="}, "/secret", "24 to 64"),
        ({"shape": "round"}, "/shape", "not permitted"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    client: httpx.Client, wish: dict[str, Any], pointer: str, words: str
) -> None:
    refused = client.post("/v1/webhooks", json={"url": URL} | wish)
    assert refused.status_code == 422
    (fault,) = refused.json()["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]
    assert "hunter2" not in refused.text


def test_a_stream_that_is_not_there_is_refused(client: httpx.Client) -> None:
    assert client.post("/v1/webhooks", json={"url": URL, "stream": "none"}).status_code == 404


def test_newest_come_first_in_pages(client: httpx.Client) -> None:
    made = [make(client)["id"] for _ in range(3)]
    page = client.get("/v1/webhooks", params={"page_size": 2}).json()
    assert [one["id"] for one in page["items"]] == made[:0:-1]
    query = {"page_size": 1, "page_token": page["next_page_token"]}
    assert client.get("/v1/webhooks", params=query).json()["items"][0]["id"] == made[0]


def test_it_is_paused_resumed_and_deleted(plane: Plane, client: httpx.Client) -> None:
    path = f"/v1/webhooks/{make(client)['id']}"
    assert client.patch(path, json={"paused": True}).json()["paused"] is True
    assert client.get(path).json()["paused"] is True
    assert client.patch(path, json={"paused": False}).json()["paused"] is False
    assert client.patch(path, json={"url": URL}).status_code == 422
    assert client.delete(path).status_code == 204
    for method in ("GET", "DELETE"):
        assert client.request(method, path).status_code == 404
    assert client.patch(path, json={"paused": True}).status_code == 404
    assert client.post(f"{path}:test").status_code == 404


def test_a_test_tells_what_came_of_it(plane: Plane, client: httpx.Client) -> None:
    webhook = make(client)["id"]

    def call() -> None:
        """As a worker does it, as soon as it is asked for."""
        while True:
            with plane.database.begin() as session:
                claimed = deliveries.claim(session, webhook, stale_s=10)
                if claimed is not None:
                    held, row = claimed
                    assert row.ping is not None
                    ping = row.ping["id"]
                    deliveries.pinged(session, held, ping, status=503, error="503 Busy")
                    return

    worker = threading.Thread(target=call)
    worker.start()
    told = client.post(f"/v1/webhooks/{webhook}:test").json()["test"]
    worker.join()
    assert (told["status"], told["error"]) == (503, "503 Busy")
    assert told["at"] is not None


def test_without_a_worker_a_test_is_answered_all_the_same(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_TEST_S", 0.1)
    told = client.post(f"/v1/webhooks/{make(client)['id']}:test").json()["test"]
    assert (told["at"], told["status"], told["error"]) == (None, None, None)


def test_there_are_not_endlessly_many(
    plane: Plane, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", len(client.get("/v1/webhooks").json()["items"]) + 1)
    make(client)
    refused = client.post("/v1/webhooks", json={"url": URL})
    assert refused.status_code == 409
    assert "delete one" in refused.json()["detail"]


def test_a_database_of_the_release_before_has_none_yet(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "has", lambda *_: False)
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/whk_1"), ("DELETE", "/whk_1")):
        body = {"url": URL} if method == "POST" else None
        refused = client.request(method, f"/v1/webhooks{path}", json=body)
        assert refused.status_code == 503, refused.text
        assert "run the migration" in refused.json()["detail"]


def test_by_the_command_line(
    plane: Plane, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_TEST_S", 0.1)
    made = lure("webhooks", "create", URL, "--event", "gate.*", url=plane.url)
    assert made.returncode == DONE
    assert made.stdout.startswith(webhooks.SECRET)
    webhook = client.get("/v1/webhooks").json()["items"][0]
    assert webhook["id"] in made.stderr
    assert webhook["events"] == ["gate.*"]
    listed = lure("webhooks", "list", url=plane.url).stdout
    assert webhook["id"] in listed
    assert "active" in listed
    assert lure("webhooks", "pause", webhook["id"], url=plane.url).returncode == DONE
    assert client.get(f"/v1/webhooks/{webhook['id']}").json()["paused"] is True
    assert lure("webhooks", "resume", webhook["id"], url=plane.url).returncode == DONE
    tried = lure("webhooks", "test", webhook["id"], url=plane.url)
    assert tried.returncode == FAILED
    assert "no worker has called it yet" in tried.stderr
    assert lure("webhooks", "delete", webhook["id"], url=plane.url).returncode == DONE
    assert lure("webhooks", "delete", webhook["id"], url=plane.url).returncode == FAILED
