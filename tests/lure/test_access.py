"""Keys on a person's side: shown with every request, made and revoked by commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lure.cli import app
from lure.client import Client
from lure.commands import access
from lure.errors import LureError
from tests.lure.conftest import Answer, Scripted

KEY = "lure_" + "k" * 43
MADE = {"id": "key_1", "name": "camera", "scopes": ["predict"], "key": KEY, "hint": KEY[:9]}
LISTED = MADE | {
    "stream": None,
    "requests_per_minute": 60,
    "created_by": "root",
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-01-02T00:00:00Z",
}
EMPTY = json.dumps({"items": [], "next_page_token": None}).encode()

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_key_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LURE_API_KEY", "LURE_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_client_shows_its_key_with_every_request(scripted: Scripted) -> None:
    scripted.answers = [Answer(200, EMPTY)]
    with Client(scripted.url, KEY) as client:
        client.streams()
        client.keys()
    assert {one.headers["authorization"] for one in scripted.requests} == {f"Bearer {KEY}"}


def test_the_environments_key_is_taken_where_none_is_given(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers = [Answer(200, EMPTY)]
    monkeypatch.setenv("LURE_API_KEY", f" {KEY}\n")
    for key in (None, "other"):
        with Client(scripted.url, key) as client:
            client.streams()
    shown = [one.headers["authorization"] for one in scripted.requests]
    assert shown == [f"Bearer {KEY}", "Bearer other"]


def test_without_a_key_none_is_shown(scripted: Scripted) -> None:
    scripted.answers = [Answer(200, EMPTY)]
    with Client(scripted.url) as client:
        client.streams()
    assert "authorization" not in scripted.requests[0].headers


@pytest.mark.parametrize("key", ["two words", "clé", "a\x00b"])
def test_what_cannot_be_a_key_is_not_sent(key: str) -> None:
    with pytest.raises(LureError, match="LURE_API_KEY"):
        Client("http://127.0.0.1:1", key)


def test_every_command_shows_the_key(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answers = [Answer(200, EMPTY)]
    monkeypatch.setenv("LURE_API_KEY", KEY)
    for words in (["streams"], ["chunks", "x"], ["alias", "list", "x"], ["keys", "list"]):
        assert runner.invoke(app, ["--url", scripted.url, *words]).exit_code == 0
    shown = {one.headers.get("authorization") for one in scripted.requests}
    assert shown == {f"Bearer {KEY}"}


def test_create_prints_the_text_alone(scripted: Scripted) -> None:
    scripted.answers = [Answer(201, json.dumps(MADE).encode())]
    words = ["keys", "create", "camera", "--stream", "digits", "--expires", "90d", "--rate", "60"]
    run = runner.invoke(app, [*words, "--url", scripted.url])
    assert (run.exit_code, run.stdout) == (0, f"{KEY}\n")
    asked = json.loads(scripted.requests[0].body)
    assert asked["expires_at"].endswith("+00:00")
    assert asked | {"expires_at": None} == {
        "name": "camera",
        "scopes": ["predict"],
        "stream": "digits",
        "expires_at": None,
        "requests_per_minute": 60,
    }


def test_an_odd_time_is_a_mistake_on_the_command_line(scripted: Scripted) -> None:
    run = runner.invoke(app, ["keys", "create", "a", "--expires", "soon", "--url", scripted.url])
    assert run.exit_code == 2


def test_list_shows_when_a_key_was_used(scripted: Scripted) -> None:
    page = {"items": [LISTED | {"name": "[red]"}], "next_page_token": None}
    scripted.answers = [Answer(200, json.dumps(page).encode())]
    run = runner.invoke(app, ["keys", "list", "--url", scripted.url])
    assert run.exit_code == 0
    assert "2026-01-02T00:00:00Z" in run.stdout
    assert "[red]" in run.stdout
    assert KEY not in run.stdout


def test_revoke_takes_an_id_and_sends_no_keys_text(scripted: Scripted) -> None:
    refused = runner.invoke(app, ["keys", "revoke", KEY, "--url", scripted.url])
    assert refused.exit_code == 2
    assert KEY not in refused.output
    assert scripted.requests == []


def test_revoke_and_audit(scripted: Scripted) -> None:
    entry = {
        "at": "2026-01-01T00:00:00Z",
        "who": "root",
        "action": "revoke_key",
        "target": "/v1/keys/key_1",
        "status": 200,
        "address": "127.0.0.1",
    }
    scripted.answers = [
        Answer(200, json.dumps(LISTED).encode()),
        Answer(200, json.dumps({"items": [entry], "next_page_token": None}).encode()),
    ]
    assert "camera" in runner.invoke(app, ["keys", "revoke", "key_1", "--url", scripted.url]).stdout
    shown = runner.invoke(app, ["audit", "digits", "--newest", "5", "--url", scripted.url])
    assert "revoke_key" in shown.stdout
    assert [one.method for one in scripted.requests] == ["DELETE", "GET"]
    assert scripted.requests[1].path == "/v1/audit?stream=digits&page_size=5"


def test_bootstrap_prints_the_key_of_the_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LURE_SECRETS_DIR", str(tmp_path))
    (tmp_path / access.BOOTSTRAP).write_text(f"{KEY}\n")
    run = runner.invoke(app, ["keys", "bootstrap"])
    assert (run.exit_code, run.stdout) == (0, f"{KEY}\n")


def test_bootstrap_says_so_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LureError, match="LURE_SECRETS_DIR"):
        access.bootstrap()
    monkeypatch.setenv("LURE_SECRETS_DIR", str(tmp_path))
    with pytest.raises(LureError, match="lure keys create"):
        access.bootstrap()
    (tmp_path / access.BOOTSTRAP).write_text("\n")
    with pytest.raises(LureError, match="empty"):
        access.bootstrap()


def test_a_refusal_tells_what_to_do(scripted: Scripted) -> None:
    detail = "this needs an API key: … set LURE_API_KEY"
    problem = {"title": "A valid API key is needed", "detail": detail}
    scripted.answers = [Answer(401, json.dumps(problem).encode())]
    with Client(scripted.url) as client, pytest.raises(LureError, match="LURE_API_KEY"):
        client.streams()
