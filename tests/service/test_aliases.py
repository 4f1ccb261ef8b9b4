from __future__ import annotations

import httpx
import pytest

from store import streams
from tests.factories import create_version
from tests.service.conftest import Plane
from tests.service.control import problem


@pytest.fixture
def url(plane: Plane, stream: str) -> str:
    """The aliases of a stream with three versions, each of which was champion."""
    with plane.database.begin() as session:
        row = streams.get(session, stream)
    for _ in range(3):
        create_version(plane.database, row)
    return f"/v1/streams/{stream}/aliases"


def tag(client: httpx.Client, url: str) -> dict[str, str]:
    return {"If-Match": client.get(url).headers["etag"]}


def test_an_alias_is_shown_with_its_tag(client: httpx.Client, url: str, stream: str) -> None:
    answer = client.get(f"{url}/champion")
    shown = answer.json()
    assert (shown["alias"], shown["stream"], shown["version"]) == ("champion", stream, 3)
    assert shown["hold"] is False
    assert answer.headers["etag"].startswith('"')
    unchanged = client.get(f"{url}/champion", headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    names = [item["alias"] for item in client.get(url).json()["items"]]
    assert names == ["champion", "previous"]


def test_a_move_needs_what_was_read(client: httpx.Client, url: str) -> None:
    problem(client.put(f"{url}/champion", json={"version": 1}), 428, "precondition-required")
    assert client.get(f"{url}/champion").json()["version"] == 3


def test_champion_is_moved_and_held(client: httpx.Client, url: str) -> None:
    match = tag(client, f"{url}/champion")
    wish = {"version": 1, "reason": "night shift"}
    answer = client.put(f"{url}/champion", json=wish, headers=match)
    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["hold"]) == (1, True)
    assert answer.headers["etag"] == client.get(f"{url}/champion").headers["etag"]
    assert client.get(f"{url}/previous").json()["version"] == 3
    stale = client.put(f"{url}/champion", json={"version": 2}, headers=match)
    problem(stale, 412, "stale")
    newest = client.get(f"{url}/champion/history").json()["items"][0]
    assert (newest["from_version"], newest["to_version"]) == (3, 1)
    assert (newest["who"], newest["reason"], newest["hold"]) == ("api", "night shift", True)


def test_what_cycles_do_not_move_is_not_held(client: httpx.Client, url: str) -> None:
    wish = {"version": 2, "hold": True}
    body = problem(client.put(f"{url}/mine", json=wish, headers={"If-None-Match": "*"}), 422)
    assert [fault["pointer"] for fault in body["errors"]] == ["/hold"]
    problem(client.get(f"{url}/mine"), 404)
    unheld = client.put(f"{url}/mine", json=wish | {"hold": False}, headers={"If-None-Match": "*"})
    assert (unheld.status_code, unheld.json()["hold"]) == (201, False)


def test_champion_is_moved_without_a_hold_on_demand(client: httpx.Client, url: str) -> None:
    wish = {"version": 2, "hold": False}
    answer = client.put(f"{url}/champion", json=wish, headers={"If-Match": "*"})
    assert answer.json()["hold"] is False


def test_a_move_where_a_person_promotes_holds_nothing(
    client: httpx.Client, url: str, stream: str
) -> None:
    manual = {"policies": {"gate": {"mode": "manual"}}}
    headers = tag(client, f"/v1/streams/{stream}")
    assert client.patch(f"/v1/streams/{stream}", json=manual, headers=headers).status_code == 200
    answer = client.put(f"{url}/champion", json={"version": 2}, headers={"If-Match": "*"})
    assert answer.json()["hold"] is False


def test_a_weak_tag_does_not_match(client: httpx.Client, url: str) -> None:
    weak = {"If-Match": f"W/{client.get(f'{url}/champion').headers['etag']}"}
    problem(client.put(f"{url}/champion", json={"version": 1}, headers=weak), 412)


def test_one_tag_of_many_is_enough(client: httpx.Client, url: str) -> None:
    some = {"If-Match": '"77", ' + client.get(f"{url}/champion").headers["etag"]}
    answer = client.put(f"{url}/champion", json={"version": 1}, headers=some)
    assert answer.status_code == 200


def test_a_new_alias_is_made_if_it_is_not_there(client: httpx.Client, url: str) -> None:
    new = {"If-None-Match": "*"}
    problem(client.put(f"{url}/mine", json={"version": 2}), 428)
    problem(client.put(f"{url}/mine", json={"version": 2}, headers={"If-Match": "*"}), 412)
    made = client.put(f"{url}/mine", json={"version": 2}, headers=new)
    assert (made.status_code, made.json()["hold"]) == (201, False)
    problem(client.put(f"{url}/mine", json={"version": 1}, headers=new), 412)
    moved = client.put(f"{url}/mine", json={"version": 1}, headers=tag(client, f"{url}/mine"))
    assert (moved.status_code, moved.json()["version"]) == (200, 1)


@pytest.mark.parametrize("name", ["latest", "candidate", "previous"])
def test_what_moves_by_itself_is_not_moved(client: httpx.Client, url: str, name: str) -> None:
    there = client.get(f"{url}/{name}").status_code == 200
    headers = {"If-Match": "*"} if there else {"If-None-Match": "*"}
    problem(client.put(f"{url}/{name}", json={"version": 1}, headers=headers), 409, "conflict")


@pytest.mark.parametrize(
    "wish",
    [
        {},
        [],
        {"version": 0},
        {"version": "3"},
        {"version": 3.5},
        {"version": 2**40},
        {"version": 1, "who": "me"},
        {"version": 1, "hold": "yes"},
        {"version": 1, "reason": "a\x00b"},
    ],
)
def test_a_malformed_wish_is_refused(client: httpx.Client, url: str, wish: object) -> None:
    problem(client.put(f"{url}/champion", json=wish, headers={"If-Match": "*"}), 422, "invalid")


def test_a_version_that_is_not_there_is_not_found(client: httpx.Client, url: str) -> None:
    answer = client.put(f"{url}/champion", json={"version": 9}, headers={"If-Match": "*"})
    problem(answer, 404, "not-found")


def test_rollback_goes_to_the_version_before_and_holds(client: httpx.Client, url: str) -> None:
    answer = client.post(f"{url}/champion:rollback", json={"reason": "worse at night"})
    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["hold"]) == (2, True)
    assert client.post(f"{url}/champion:rollback").json()["version"] == 1
    problem(client.post(f"{url}/champion:rollback"), 409, "conflict")
    reasons = [item["reason"] for item in client.get(f"{url}/champion/history").json()["items"]]
    assert reasons[:2] == ["rolled back", "worse at night"]


def test_a_rollback_under_a_key_goes_back_once(client: httpx.Client, url: str) -> None:
    key = {"Idempotency-Key": "back"}
    first = client.post(f"{url}/champion:rollback", headers=key)
    again = client.post(f"{url}/champion:rollback", headers=key)
    assert first.json()["version"] == 2
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert client.get(f"{url}/champion").headers["etag"] == first.headers["etag"]
    other = client.post(f"{url}/champion:rollback", headers=key, json={"reason": "another"})
    problem(other, 422, "key-reused")


def test_release_lifts_the_hold(client: httpx.Client, url: str) -> None:
    client.post(f"{url}/champion:rollback")
    answer = client.post(f"{url}/champion:release")
    assert (answer.json()["version"], answer.json()["hold"]) == (2, False)
    before = client.get(f"{url}/champion").headers["etag"]
    assert client.post(f"{url}/champion:release").headers["etag"] == before


@pytest.mark.parametrize("action", ["rollback", "release"])
def test_only_champion_is_rolled_back_and_released(
    client: httpx.Client, url: str, action: str
) -> None:
    problem(client.post(f"{url}/previous:{action}"), 409, "conflict")
    problem(client.post(f"{url}/nobody:{action}"), 404, "not-found")


@pytest.mark.parametrize("action", ["rollback", "release"])
def test_nothing_is_rolled_back_before_the_first_version(
    client: httpx.Client, stream: str, action: str
) -> None:
    problem(client.post(f"/v1/streams/{stream}/aliases/champion:{action}"), 404, "not-found")


def test_history_comes_in_pages(client: httpx.Client, url: str) -> None:
    page = client.get(f"{url}/champion/history", params={"page_size": 2}).json()
    token = page["next_page_token"]
    rest = client.get(f"{url}/champion/history", params={"page_token": token}).json()
    moves = [move["to_version"] for move in page["items"] + rest["items"]]
    assert (moves, rest["next_page_token"]) == ([3, 2, 1], None)


@pytest.mark.parametrize("name", ["Champion", "a b", "-x"])
def test_an_impossible_name_is_refused(client: httpx.Client, url: str, name: str) -> None:
    problem(client.get(f"{url}/{name}"), 422, "invalid")


def test_an_alias_of_ones_own_is_deleted_and_its_history_stays(
    client: httpx.Client, url: str
) -> None:
    client.put(f"{url}/mine", json={"version": 2}, headers={"If-None-Match": "*"})
    problem(client.delete(f"{url}/mine"), 428, "precondition-required")
    problem(client.delete(f"{url}/mine", headers={"If-Match": '"77"'}), 412, "stale")
    match = tag(client, f"{url}/mine")
    gone = client.delete(f"{url}/mine", params={"reason": "season over"}, headers=match)
    assert (gone.status_code, gone.content) == (204, b"")
    assert "content-type" not in gone.headers
    problem(client.get(f"{url}/mine"), 404, "not-found")
    problem(client.delete(f"{url}/mine", headers=match), 404, "not-found")
    last, first = client.get(f"{url}/mine/history").json()["items"]
    assert (last["from_version"], last["to_version"], last["reason"]) == (2, None, "season over")
    assert (first["from_version"], first["to_version"]) == (None, 2)
    again = client.put(f"{url}/mine", json={"version": 2}, headers={"If-None-Match": "*"})
    assert again.headers["etag"] != match["If-Match"]


@pytest.mark.parametrize("name", ["champion", "previous"])
def test_what_the_service_moves_itself_is_not_deleted(
    client: httpx.Client, url: str, name: str
) -> None:
    problem(client.delete(f"{url}/{name}", headers={"If-Match": "*"}), 409, "conflict")


def test_a_name_that_never_was_an_alias_has_no_history(client: httpx.Client, url: str) -> None:
    problem(client.get(f"{url}/nobody/history"), 404, "not-found")
