"""Webhooks told by a worker in this process to real receivers."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from store import deliveries, events, webhooks
from store.failpoint import VARIABLE
from store.models import Stream, Webhook
from store.webhooks import Wanted
from tests.factories import create_stream
from tests.receiving import Call, Receiver, receiving
from tests.worker.conftest import Bench
from worker.settings import WorkerSettings
from worker.webhooks import Teller, rest_s, tell

DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"
SECRET = webhooks.SECRET + base64.b64encode(b"s" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def worker_settings(worker_settings: WorkerSettings) -> WorkerSettings:
    quick = {"webhook_private": True, "webhook_timeout_s": 2.0, "webhook_retry_s": 1e-6}
    return worker_settings.model_copy(update=quick)


def with_settings(bench: Bench, **changes: Any) -> Bench:
    settings = bench.context.settings.model_copy(update=changes)
    return replace(bench, context=replace(bench.context, settings=settings))


def hook(bench: Bench, url: str, **wanted: Any) -> str:
    with bench.database.begin() as session:
        made = webhooks.add(session, Wanted(url, SECRET, **wanted), who="test")
    return made.id


def row(bench: Bench, webhook_id: str) -> Webhook:
    return bench.read(webhooks.get, webhook_id)


def happen(bench: Bench, *names: str, stream: Stream | None = None, **data: Any) -> None:
    for name in names:
        with bench.database.begin() as session:
            events.note(session, name, stream, **data)


def names_of(calls: list[Call]) -> list[str]:
    return [json.loads(call.body)["name"] for call in calls]


def test_events_come_in_their_order_as_listeners_have_them(
    bench: Bench, receiver: Receiver
) -> None:
    happen(bench, "chunk.received")  # before there was a webhook
    webhook = hook(bench, f"{receiver.url}/here?a=b")
    stream = create_stream(bench.database)
    happen(bench, "chunk.admitted", "cycle.started", stream=stream, images=3)
    tell(bench.context, webhook)
    assert names_of(receiver.calls) == ["stream.created", "chunk.admitted", "cycle.started"]
    with bench.database.begin() as session:
        event = events.after(session, 0)[-1]
    told = json.loads(receiver.calls[-1].body)
    assert told == events.shown(event) | {"at": event.at.isoformat()}
    assert (told["stream"], told["images"]) == ("digits", 3)
    assert receiver.calls[-1].path == "/here?a=b"
    assert receiver.calls[-1].headers["webhook-id"] == f"evt_{event.id}"
    assert receiver.calls[-1].headers["content-type"] == "application/json"
    state = row(bench, webhook)
    assert (state.delivered, state.failed, state.last_status) == (3, 0, 200)
    assert state.after_event == event.id
    assert state.heartbeat_at is None


def test_the_documented_snippet_verifies_what_is_sent(bench: Bench, receiver: Receiver) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    tell(bench.context, webhook)
    (call,) = receiver.calls
    snippet = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert snippet is not None
    names: dict[str, Any] = {}
    exec(snippet[1], names)
    verify = names["verify"]
    assert verify(SECRET, call.headers, call.body) == json.loads(call.body)
    for wrong in (
        call.headers | {"webhook-timestamp": str(int(call.headers["webhook-timestamp"]) - 3600)},
        call.headers | {"webhook-id": "evt_0"},
        call.headers | {"webhook-signature": "v1,AAAA"},
    ):
        with pytest.raises(ValueError, match=r"signature|old"):
            verify(SECRET, wrong, call.body)
    with pytest.raises(ValueError, match="signature"):
        verify(SECRET, call.headers, call.body + b" ")


def test_what_is_not_taken_is_told_again_before_what_follows(
    bench: Bench, receiver: Receiver
) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received", "chunk.admitted", "cycle.started")
    answers = iter([200, 500, 429, 200, 200])
    receiver.answer = lambda _: next(answers)
    for failures in (1, 2, 0):
        tell(bench.context, webhook)
        assert row(bench, webhook).failures == failures
    assert names_of(receiver.calls) == [
        *("chunk.received", "chunk.admitted", "chunk.admitted", "chunk.admitted"),
        "cycle.started",
    ]
    again = [call.headers["webhook-id"] for call in receiver.calls[1:4]]
    assert len(set(again)) == 1
    state = row(bench, webhook)
    assert (state.delivered, state.failed, state.last_error) == (3, 2, None)


def test_a_worker_that_died_before_it_could_note_it_tells_it_again(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    with bench.database.begin() as session:
        assert deliveries.claim(session, webhook, stale_s=0) is not None
    tell(with_settings(bench, stale_s=60.0).context, webhook)
    assert receiver.calls == []  # somebody holds it
    # an exception is as far as a death can go in this process; see the acceptance tests
    monkeypatch.setenv(VARIABLE, "webhook.posted:raise")
    with monkeypatch.context() as patch:
        patch.setattr("worker.webhooks.log.exception", lambda *_: None)
        tell(with_settings(bench, stale_s=0.0).context, webhook)
    monkeypatch.delenv(VARIABLE)
    tell(with_settings(bench, stale_s=0.0).context, webhook)
    first, second = receiver.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert row(bench, webhook).delivered == 1


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_only_a_two_hundred_is_taken(bench: Bench, receiver: Receiver, status: int) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    with receiving() as elsewhere:
        receiver.answer = lambda _: status
        receiver.headers = {"Location": elsewhere.url}
        tell(bench.context, webhook)
        assert elsewhere.calls == []
    state = row(bench, webhook)
    assert (state.last_status, state.failures, state.delivered) == (status, 1, 0)
    assert str(status) in (state.last_error or "")


def test_a_receiver_that_is_gone_is_paused_and_can_be_resumed(
    bench: Bench, receiver: Receiver
) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    receiver.answer = lambda _: 410
    tell(bench.context, webhook)
    assert row(bench, webhook).is_paused
    happen(bench, "chunk.admitted")
    tell(bench.context, webhook)
    assert len(receiver.calls) == 1
    receiver.answer = lambda _: 204
    with bench.database.begin() as session:
        assert webhooks.resume(session, webhook).failures == 0
    tell(bench.context, webhook)
    assert names_of(receiver.calls) == ["chunk.received", "chunk.received", "chunk.admitted"]


def test_after_many_failures_it_is_paused(bench: Bench, receiver: Receiver) -> None:
    tired = with_settings(bench, webhook_failures=3)
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    receiver.answer = lambda _: 500
    for paused in (False, False, True):
        tell(tired.context, webhook)
        assert row(bench, webhook).is_paused is paused
    tell(tired.context, webhook)
    assert len(receiver.calls) == 3


@pytest.mark.parametrize(
    "asked", [lambda: "3600", lambda: formatdate(time.time() + 3600, usegmt=True)]
)
def test_retry_after_is_heeded(bench: Bench, receiver: Receiver, asked: Callable[[], str]) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    receiver.answer = lambda _: 503
    receiver.headers = {"Retry-After": asked()}
    tell(bench.context, webhook)
    tell(bench.context, webhook)
    assert len(receiver.calls) == 1
    state = row(bench, webhook)
    assert 3500 < (state.next_try_at - state.created_at).total_seconds() < 3700


@pytest.mark.parametrize("asked", ["soon", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_is_a_failure_like_others(
    bench: Bench, receiver: Receiver, asked: str
) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    receiver.answer = lambda _: 503
    receiver.headers = {"Retry-After": asked}
    tell(bench.context, webhook)
    assert (row(bench, webhook).failed, row(bench, webhook).last_status) == (1, 503)


def test_only_what_it_asked_for_is_told(bench: Bench, receiver: Receiver) -> None:
    mine = create_stream(bench.database, "mine")
    other = create_stream(bench.database, "other")
    webhook = hook(bench, receiver.url, stream="mine", names=["cycle.finished", "chunk.*"])
    happen(bench, "chunk.received", "cycle.started", "cycle.finished", stream=mine)
    happen(bench, "chunk.received", "cycle.finished", stream=other)
    happen(bench, "key.created")
    tell(bench.context, webhook)
    assert names_of(receiver.calls) == ["chunk.received", "cycle.finished"]
    with bench.database.begin() as session:
        assert row(bench, webhook).after_event == events.last_id(session)
    assert bench.read(deliveries.due, stale_s=1, limit=9) == []


def test_it_can_begin_behind_an_event_of_the_past(bench: Bench, receiver: Receiver) -> None:
    happen(bench, "chunk.received", "chunk.admitted")
    with bench.database.begin() as session:
        first = events.after(session, 0)[0].id
    webhook = hook(bench, receiver.url, from_event=first)
    tell(bench.context, webhook)
    assert names_of(receiver.calls) == ["chunk.admitted"]


def test_nobody_is_called_who_is_not_public(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = with_settings(bench, webhook_private=False)
    port = receiver.url.rpartition(":")[2]
    by_number = hook(bench, receiver.url)
    by_name = hook(bench, f"http://hook.example:{port}/")
    mixed = [(socket.AF_INET, 1, 6, "", (ip, int(port))) for ip in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: mixed)
    webhook_ids = (by_number, by_name)
    with bench.database.begin() as session:
        events.note(session, "chunk.received")
    for webhook in webhook_ids:
        tell(strict.context, webhook)
        assert "not public" in (row(bench, webhook).last_error or "")
    assert receiver.calls == []


def test_the_address_that_was_judged_is_the_one_that_is_called(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiver.url.rpartition(":")[2])
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "hook.example":
            return real(host, *args, **kwargs)
        asked.append(host)
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    webhook = hook(bench, f"http://hook.example:{port}/x")
    happen(bench, "chunk.received")
    tell(bench.context, webhook)
    (call,) = receiver.calls
    assert call.headers["host"] == f"hook.example:{port}"
    assert asked == ["hook.example"]


def test_a_receiver_that_does_not_answer_is_left_in_time(bench: Bench, receiver: Receiver) -> None:
    held = threading.Event()
    receiver.answer = lambda _: 200 if held.wait(30) else 500
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    tell(with_settings(bench, webhook_timeout_s=0.2).context, webhook)
    held.set()
    assert row(bench, webhook).last_error == "no answer within 0.2 s"


def test_nobody_there_is_a_failure_in_words(bench: Bench, receiver: Receiver) -> None:
    webhook = hook(bench, "http://127.0.0.1:1/")
    happen(bench, "chunk.received")
    tell(bench.context, webhook)
    assert "ConnectError" in (row(bench, webhook).last_error or "")


@pytest.mark.parametrize("change", [webhooks.pause, webhooks.delete])
def test_what_is_paused_or_deleted_meanwhile_is_told_nothing_more(
    bench: Bench, receiver: Receiver, change: Callable[..., Any]
) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received", "chunk.admitted")

    def answer(_: Call) -> int:
        with bench.database.begin() as session:
            change(session, webhook)
        return 200

    receiver.answer = answer
    tell(bench.context, webhook)
    assert len(receiver.calls) == 1


def test_one_that_hangs_holds_up_no_other(bench: Bench, receiver: Receiver) -> None:
    held = threading.Event()
    with receiving() as hanging:
        hanging.answer = lambda _: 200 if held.wait(30) else 500
        for _ in range(3):
            hook(bench, hanging.url)
        hook(bench, receiver.url)
        teller = Teller(bench.context)
        teller.start()
        happen(bench, "chunk.received")
        hanging.wait_for(3)
        receiver.wait_for(1)
        happen(bench, "chunk.admitted")
        assert names_of(receiver.wait_for(2)) == ["chunk.received", "chunk.admitted"]
        assert len(hanging.calls) == 3
        held.set()
        hanging.wait_for(6)
        teller.stop()


def test_many_that_want_nothing_hold_up_none_that_does(bench: Bench, receiver: Receiver) -> None:
    """More than a process tells at once, and each event makes all of them due again."""
    over = threading.Event()

    def train() -> None:
        while not over.wait(0.2):
            happen(bench, "cycle.progress")

    for _ in range(30):
        hook(bench, receiver.url, names=["gate.failed"])
    hook(bench, receiver.url)
    training = threading.Thread(target=train)
    training.start()
    teller = Teller(with_settings(bench, sweep_s=600.0).context)
    teller.start()
    try:
        assert set(names_of(receiver.wait_for(5))) == {"cycle.progress"}
    finally:
        over.set()
        training.join()
        teller.stop()


def test_who_was_looked_at_without_a_find_comes_after_the_others(
    bench: Bench, receiver: Receiver
) -> None:
    filtered = hook(bench, receiver.url, names=["gate.failed"])
    hungry = hook(bench, receiver.url)
    happen(bench, "cycle.progress")
    tell(bench.context, filtered)
    happen(bench, "cycle.progress")
    assert bench.read(deliveries.due, stale_s=1, limit=9) == [hungry, filtered]


def test_a_test_call_is_no_trial_of_what_waits(bench: Bench, receiver: Receiver) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    receiver.answer = lambda _: 503
    receiver.headers = {"Retry-After": "3600"}
    tell(bench.context, webhook)
    with bench.database.begin() as session:
        before = webhooks.ask_ping(session, webhook).next_try_at
    tell(bench.context, webhook)
    assert names_of(receiver.calls) == ["chunk.received", "webhook.ping"]
    state = row(bench, webhook)
    assert (state.failures, state.failed, state.next_try_at) == (1, 1, before)


def test_a_test_call_is_made_while_it_is_paused(bench: Bench, receiver: Receiver) -> None:
    webhook = hook(bench, receiver.url)
    happen(bench, "chunk.received")
    with bench.database.begin() as session:
        webhooks.pause(session, webhook)
        webhooks.ask_ping(session, webhook)
    tell(bench.context, webhook)
    (call,) = receiver.calls
    assert json.loads(call.body)["name"] == "webhook.ping"
    ping = row(bench, webhook).ping
    assert ping is not None
    assert (ping["status"], ping["error"]) == (200, None)
    assert ping["id"] == call.headers["webhook-id"]
    tell(bench.context, webhook)
    assert len(receiver.calls) == 1


def test_rests_grow_to_hours_and_are_never_in_step() -> None:
    rests = [rest_s(failures, first_s=5.0) for failures in range(1, 31)]
    assert 2.5 <= rests[0] <= 5.0
    assert 40 <= rests[4] <= 80
    assert 5400 <= rests[-1] <= 10_800
    assert 24 * 3600 < sum(rests) < 72 * 3600
    assert len({rest_s(30, first_s=5.0) for _ in range(9)}) == 9


def test_the_age_of_what_waits_is_told(bench: Bench, receiver: Receiver) -> None:
    webhook = hook(bench, receiver.url, names=["cycle.*"])
    happen(bench, "chunk.received", "cycle.started")
    receiver.answer = lambda _: 500
    tell(bench.context, webhook)
    (state,) = bench.read(webhooks.states)
    assert (state.id, state.delivered, state.failed, state.is_paused) == (webhook, 0, 1, False)
    assert state.waits_s > 0
    with bench.database.begin() as session:  # the one that waits, not the one that is passed over
        first, second = events.after(session, 0)
    assert row(bench, webhook).after_event == second.id - 1
    assert first.id < second.id
    receiver.answer = lambda _: 200
    tell(bench.context, webhook)
    assert bench.read(webhooks.states)[0].waits_s == 0
