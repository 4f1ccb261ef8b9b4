"""`/v1/keys` over HTTP; the rules of the store are in tests/store/test_keys.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.access.conftest import Closed, shown
from tests.service.control import problem

WISH: dict[str, Any] = {"name": "camera-7", "scopes": ["predict"], "stream": "digits"}


def make(closed: Closed, **wish: Any) -> Any:
    return closed.ask(closed.admin, "POST", "/v1/keys", json=WISH | wish)


def test_a_keys_text_is_told_once_and_not_stored_by_anybody(closed: Closed) -> None:
    answer = make(closed, requests_per_minute=60, expires_at="2100-01-01T00:00:00Z")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    text = made.pop("key")
    assert text.startswith(made["hint"])
    assert made["created_by"] == "root"
    shown_later = closed.ask(closed.admin, "GET", answer.headers["location"])
    assert shown_later.json() == made
    listed = closed.ask(closed.admin, "GET", "/v1/keys?page_size=1").json()
    assert listed["items"] == [made]
    assert text not in shown_later.text


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"stream": "Not a name"}, "/stream"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "/expires_at"),
        ({"requests_per_minute": 0}, "/requests_per_minute"),
        ({"hint": "x"}, "/hint"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    closed: Closed, wish: dict[str, Any], pointer: str
) -> None:
    faults = problem(make(closed, **wish), 422)["errors"]
    assert [fault["pointer"] for fault in faults] == [pointer]


def test_revoking_twice_is_as_good_as_once(closed: Closed) -> None:
    made = make(closed).json()
    first, second = (closed.ask(closed.admin, "DELETE", f"/v1/keys/{made['id']}") for _ in "12")
    assert first.json() == second.json()
    assert first.json()["revoked_at"] is not None
    problem(closed.ask(closed.admin, "DELETE", "/v1/keys/key_none"), 404)


def test_a_bound_administrator_makes_no_keys(closed: Closed) -> None:
    text = make(closed, scopes=["admin"]).json()["key"]
    answer = closed.api.client.post("/v1/keys", json=WISH, headers=shown(text))
    problem(answer, 403, "forbidden")
