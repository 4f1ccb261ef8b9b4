"""Every operation with every kind of key, generated from the OpenAPI document."""

from __future__ import annotations

import datetime as dt
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.access import needs
from service.access.route import GuardedRoute, operations
from service.described import SCHEME, SCOPES
from store import keys
from store.keys import ADMIN
from tests.service.access.conftest import Closed, shown
from tests.service.control import connect

MINE, OTHER = "mine", "other"
PARAMETERS = {"stream": MINE, "model": MINE, "version": "1", "alias": "champion"}
LONG_AGO = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    scopes: tuple[str, ...]
    security: list[dict[str, list[str]]]

    @property
    def is_of_stream(self) -> bool:
        return "{stream}" in self.path or "{model}" in self.path

    @property
    def url(self) -> str:
        return re.sub(r"{(\w+)}", lambda found: PARAMETERS.get(found[1], "none_1"), self.path)


def every(closed: Closed) -> Iterator[Operation]:
    document = closed.api.app.openapi()
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            scopes, security = tuple(told[SCOPES]), told["security"]
            yield Operation(told["operationId"], method.upper(), path, scopes, security)


def guarded(closed: Closed) -> list[Operation]:
    return [one for one in every(closed) if one.scopes]


def answer(closed: Closed, operation: Operation, key: str | None) -> tuple[int, dict[str, Any]]:
    """Status and problem, given while the request's body has not ended, and never will."""
    lines = [f"{operation.method} {operation.url} HTTP/1.1", "host: test"]
    lines += ["content-type: application/json", "transfer-encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in shown(key).items()]
    with connect(closed.api.url) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n10000\r\n{").encode())
        head, body = read(connection)
    return int(head.split(b" ", 2)[1]), json.loads(body)


def read(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return head, body


@pytest.mark.parametrize("kind", ["none", "unknown", "no-key", "revoked", "expired"])
def test_without_a_valid_key_every_operation_answers_401(closed: Closed, kind: str) -> None:
    shown_keys = {"none": None, "unknown": keys.new_text(), "no-key": "x" * 5000}
    if kind == "revoked":
        row, text = closed.make(ADMIN)
        with closed.database.begin() as session:
            keys.revoke(session, row.id)
        closed.api.app.state.watch.keeper.changed()
        shown_keys[kind] = text
    if kind == "expired":
        shown_keys[kind] = closed.make(ADMIN, expires_at=LONG_AGO)[1]
    wrong = []
    for operation in guarded(closed):
        status, problem = answer(closed, operation, shown_keys[kind])
        if status != 401 or problem["type"] != "urn:lure:problem:unauthenticated":
            wrong.append((operation.name, status))
    assert wrong == []


def test_a_key_with_every_other_scope_is_refused_with_403(closed: Closed) -> None:
    wrong = []
    for operation in guarded(closed):
        others = set(keys.SCOPES) - {*operation.scopes, ADMIN}
        _, text = closed.make(*sorted(others))
        status, problem = answer(closed, operation, text)
        named = all(scope in problem["detail"] for scope in operation.scopes)
        if status != 403 or not named:
            wrong.append((operation.name, status, problem["detail"]))
    assert wrong == []


def test_another_streams_key_is_refused_with_403(closed: Closed) -> None:
    texts = {scope: closed.make(scope, stream=OTHER)[1] for scope in keys.SCOPES}
    wrong = []
    for operation in guarded(closed):
        if operation.name == "invoke":  # its stream stands elsewhere: test_gate
            continue
        for scope in {*operation.scopes, ADMIN}:
            status, problem = answer(closed, operation, texts[scope])
            if status != 403 or OTHER not in problem["detail"] or MINE in problem["detail"]:
                wrong.append((operation.name, scope, status, problem["detail"]))
    assert wrong == []


def test_the_right_key_comes_in(closed: Closed) -> None:
    texts = {scope: closed.make(scope)[1] for scope in keys.SCOPES}
    bound = {scope: closed.make(scope, stream=MINE)[1] for scope in keys.SCOPES}
    wrong = []
    for operation in guarded(closed):
        for scope in (*operation.scopes, ADMIN):
            mine = [bound[scope]] if operation.is_of_stream else []
            for text in (texts[scope], *mine):
                headers = shown(text) | {"prefer": "wait=0"}
                ask = closed.api.client.stream(operation.method, operation.url, headers=headers)
                with ask as got:  # an answer may have no end
                    if got.status_code in (401, 403, 429):
                        wrong.append((operation.name, scope, got.status_code))
    assert wrong == []


def test_what_is_open_needs_no_key(closed: Closed) -> None:
    opened = [one for one in every(closed) if not one.scopes]
    assert {one.url for one in opened} == {
        *("/livez", "/readyz", "/ping", "/health", "/version"),
        *("/v2", "/v2/health/live", "/v2/health/ready"),
    }
    for operation in opened:
        assert closed.ask(None, operation.method, operation.url).status_code == 200
    for path in ("/docs", "/openapi.json"):
        assert closed.ask(None, "GET", path).status_code == 200


def test_every_operation_says_what_it_needs(closed: Closed) -> None:
    """One that is missing in `service.access.needs` needs admin, and fails here."""
    for operation in every(closed):
        assert needs.is_declared(operation.name), f"{operation.name} declares no scope"
        accepted = [{SCHEME: [scope]} for scope in dict.fromkeys((*operation.scopes, ADMIN))]
        assert operation.security == (accepted if operation.scopes else [])


def test_no_route_is_hidden_from_the_gate(closed: Closed) -> None:
    documented = {operation.name for operation in every(closed)}
    for route in operations(closed.api.app):
        assert isinstance(route, GuardedRoute)
        assert route.name in documented, f"{route.path} is in no document, nor tested here"


def test_the_document_declares_the_refusals(closed: Closed) -> None:
    for methods in closed.api.app.openapi()["paths"].values():
        for told in methods.values():
            declared = {"401", "403", "429"} <= told["responses"].keys()
            assert declared == bool(told[SCOPES]), told["operationId"]
