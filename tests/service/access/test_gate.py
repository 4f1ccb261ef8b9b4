"""What the matrix does not reach: streams aside, browsers, settings, the clock, the bell."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from service import tail
from store import events, keys
from store.keys import ADMIN, INGEST, METRICS, PREDICT, READ
from tests.conftest import Servers, settings_for
from tests.service.access.conftest import Closed, exposed, shown
from tests.service.control import problem
from tests.service.serving import running, service_settings, until

LONG_AGO = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


def test_a_401_says_what_to_send_and_not_what_was_wrong(closed: Closed) -> None:
    answers = [
        closed.ask(key, "GET", "/v1/streams")
        for key in (None, keys.new_text(), closed.make(expires_at=LONG_AGO)[1])
    ]
    told = {problem(answer, 401, "unauthenticated")["detail"] for answer in answers}
    assert len(told) == 1
    assert "Authorization: Bearer lure_" in told.pop()
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="lure"'}


@pytest.mark.parametrize(
    "header", ["{}", "Basic {}", "Bearer", "Bearer {}x", "Bearer x{}", "bearer\t{}"]
)
def test_only_a_bearer_is_read(closed: Closed, header: str) -> None:
    headers = {"authorization": header.format(closed.admin)}
    assert closed.ask(None, "GET", "/v1/streams", headers=headers).status_code == 401


def test_the_schemes_case_does_not_matter(closed: Closed) -> None:
    headers = {"authorization": f"bEARER {closed.admin}"}
    assert closed.ask(None, "GET", "/v1/streams", headers=headers).status_code == 200


def test_two_keys_are_none(closed: Closed) -> None:
    both = [("authorization", f"Bearer {closed.admin}")] * 2
    assert closed.api.client.get("/v1/streams", headers=both).status_code == 401


def test_a_bound_key_asks_its_own_stream_by_every_spelling(closed: Closed) -> None:
    _, text = closed.make(PREDICT, stream="mine")
    for path in ("/v1/streams/mine/predictions", "/v2/models/mine/infer", "/predictions/mine"):
        assert closed.ask(text, "POST", path).status_code in (404, 415)  # it came in
        other = path.replace("mine", "other")
        assert closed.ask(text, "POST", other).status_code == 403


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ("", None, 404),  # its own stream, which is not there
        ("?stream=mine", None, 404),
        ("?stream=other", None, 403),
        ("?stream=other&stream=mine", None, 403),
        ("?stream=mine&stream=other", None, 403),
        ("?stream=%6Fther", None, 403),
        ("", "other", 403),
        ("?stream=mine", "other", 403),
    ],
)
def test_invocations_are_bound_by_query_and_header(
    closed: Closed, query: str, header: str | None, status: int
) -> None:
    _, text = closed.make(PREDICT, stream="mine")
    headers = {"content-type": "application/json"}
    headers |= {} if header is None else {"x-stream": header}
    answer = closed.ask(text, "POST", f"/invocations{query}", content=b"{}", headers=headers)
    assert answer.status_code == status


def test_a_bound_key_learns_nothing_of_other_streams(closed: Closed) -> None:
    closed.ask(closed.admin, "POST", "/v1/streams", json={"name": "there"})
    _, text = closed.make(READ, stream="mine")
    answers = [closed.ask(text, "GET", f"/v1/streams/{name}") for name in ("there", "nowhere")]
    first, second = (problem(answer, 403, "forbidden")["detail"] for answer in answers)
    assert first == second


def test_a_revoked_key_opens_nothing_from_the_next_request_on(closed: Closed) -> None:
    row, text = closed.make(READ)
    assert closed.ask(text, "GET", "/v1/streams").status_code == 200
    assert closed.ask(closed.admin, "DELETE", f"/v1/keys/{row.id}").status_code == 200
    assert closed.ask(text, "GET", "/v1/streams").status_code == 401


def test_a_stream_of_events_ends_when_its_key_is_revoked(closed: Closed) -> None:
    row, text = closed.make(READ)
    with closed.api.client.stream("GET", "/v1/events", headers=shown(text)) as events:
        assert events.status_code == 200
        lines = events.iter_lines()
        next(lines)
        closed.ask(closed.admin, "DELETE", f"/v1/keys/{row.id}")
        assert list(lines) is not None  # it ends, and in good order


def test_one_key_leaves_others_room_to_listen(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "OF_A_KEY", 1)
    first, second = (shown(closed.make(READ)[1]) for _ in range(2))
    with closed.api.client.stream("GET", "/v1/events", headers=first) as listening:
        assert listening.status_code == 200
        problem(closed.api.client.get("/v1/events", headers=first), 503)
        with closed.api.client.stream("GET", "/v1/events", headers=second) as other:
            assert other.status_code == 200
    until(lambda: not closed.api.app.state.watch.tail._of_keys)


def test_other_processes_hear_of_a_key(closed: Closed, servers: Servers, tmp_path: Path) -> None:
    slow = settings_for(servers, tmp_path / "blobs").model_copy(update={"poll_s": 600.0})
    with running(service_settings(slow)) as second:
        until(lambda: "redis" not in second.app.state.watch.degraded)  # it listens
        made = closed.ask(closed.admin, "POST", "/v1/keys", json={"name": "a", "scopes": ["read"]})
        key = made.json()
        ask = {"headers": shown(key["key"])}
        until(lambda: second.client.get("/v1/streams", **ask).status_code == 200)
        closed.ask(closed.admin, "DELETE", f"/v1/keys/{key['id']}")
        until(lambda: second.client.get("/v1/streams", **ask).status_code == 401)


def test_metrics_need_a_key_where_everything_does_or_a_setting(
    closed: Closed, servers: Servers, tmp_path: Path
) -> None:
    assert closed.ask(None, "GET", "/metrics").status_code == 401
    settings = settings_for(servers, tmp_path / "blobs")
    sends, reads, scrapes = (shown(closed.make(one)[1]) for one in (INGEST, READ, METRICS))
    with exposed(settings) as api:
        assert api.client.get("/metrics").status_code == 401
        assert api.client.get("/metrics", headers=sends).status_code == 403
        assert api.client.get("/metrics", headers=reads).status_code == 200
        assert api.client.get("/metrics", headers=scrapes).status_code == 200
        assert api.client.get("/v1/streams", headers=scrapes).status_code == 403
    with exposed(settings, metrics_open=True) as api:
        assert api.client.get("/metrics").status_code == 200


def test_histories_say_whose_key_it_was(closed: Closed) -> None:
    name = "history"
    closed.ask(closed.admin, "POST", "/v1/streams", json={"name": name})
    tag = closed.ask(closed.admin, "GET", f"/v1/streams/{name}").headers["etag"]
    patch = {"json": {"recipe": {"epochs": 3}}, "headers": {"if-match": tag}}
    _, text = closed.make(ADMIN, name="maria", stream=name)
    assert closed.ask(text, "PATCH", f"/v1/streams/{name}", **patch).status_code == 200
    with closed.database.begin() as session:
        changed = [one for one in events.after(session, 0) if one.name == "stream.changed"]
    assert [one.data["who"] for one in changed if one.data["stream"] == name] == ["maria"]


def test_refusals_are_counted_by_their_reason(closed: Closed) -> None:
    _, text = closed.make(READ, stream="mine")
    closed.ask(None, "GET", "/v1/streams")
    closed.ask(text, "POST", "/v1/streams")
    closed.ask(text, "GET", "/v1/streams")
    lines = closed.ask(closed.admin, "GET", "/metrics").text.splitlines()
    refused = dict(line.split() for line in lines if line.startswith("lure_access_refused_total"))
    for reason in ("missing", "scope", "stream"):
        assert float(refused[f'lure_access_refused_total{{reason="{reason}"}}']) >= 1


def test_keys_open_while_the_database_is_away(closed: Closed, servers: Servers) -> None:
    _, text = closed.make(PREDICT)
    servers.postgres.kill()
    try:
        away = closed.ask(text, "POST", "/v1/streams/nowhere/predictions")
        assert away.status_code not in (401, 403)
        assert closed.ask(None, "POST", "/v1/streams/nowhere/predictions").status_code == 401
        assert closed.ask(text, "GET", "/v1/streams").status_code == 403
    finally:
        servers.postgres.start()
    until(lambda: closed.ask(closed.admin, "GET", "/v1/streams").status_code == 200)


def test_who_came_in_last_is_shown(closed: Closed) -> None:
    row, text = closed.make(READ)
    closed.ask(text, "GET", "/v1/streams")
    with closed.database.begin() as session:
        assert keys.get(session, row.id).last_used_at is None  # not with each request
    closed.api.app.state.watch.keeper.keyring.flush()
    shown_key = closed.ask(closed.admin, "GET", f"/v1/keys/{row.id}").json()
    assert shown_key["last_used_at"] is not None
