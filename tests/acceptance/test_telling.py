"""What a chunk's way leaves outside: one trace, lines of the log that name it, and webhooks."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.world import RECIPE, Api, World, wait_for
from tests.digits import digits_zip, images, png
from tests.receiving import Receiver, Seen, receiving, spans_of

pytestmark = pytest.mark.timeout(600)  # whichever test comes first waits for it all

STAGES = ("load", "relearn", "evaluate", "save", "gate", "promote")
COMMON = {"timestamp", "level", "logger", "event", "process", "pid"}
PATH = "hooks/T0-that-only-its-owner-knows"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True)
class Told:
    """What a world with two API processes told of two chunks."""

    world: World
    apis: tuple[Api, Api]
    stream: str
    chunk: str
    trace_id: str  # of the first chunk's upload
    receiver: Receiver
    secret: str
    collector: Receiver

    @property
    def spans(self) -> list[Seen]:
        return [span for span in spans_of(self.collector) if span.trace_id == self.trace_id]

    def named(self, name: str) -> Seen:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans {name} among {[s.name for s in self.spans]}"
        return found[0]

    def lines(self) -> list[dict[str, Any]]:
        """Of every process's log."""
        texts = [child.spec.log.read_text() for child in self.world.children]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.fixture(scope="module")
def told(new_world: Callable[..., World]) -> Iterator[Told]:
    with receiving() as collector, receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        world = new_world(otlp_endpoint=collector.url, webhook_private=True, log_json=True)
        world.patience_s = 240.0
        admit = world.admit()
        world.learn()
        world.beat()
        first, second = world.api(), world.api()
        hook = first.client.create_webhook(
            f"{receiver.url}/{PATH}", events=["chunk.*", "cycle.finished"]
        )
        stream = first.create_stream(recipe=RECIPE | {"learn_epochs": 1})
        answer = first.http.post(
            f"/v1/streams/{stream}/chunks",
            content=digits_zip(range(60)),
            headers={"Content-Type": "application/zip"},
        )
        chunk = answer.json()["id"]
        for api in (first, second):
            api.wait_serving(stream, 1)
        first.wait_marked_served(stream)
        receiver.wait_for(4)
        # the child that tells dies between the call and the note of it
        world.trap.write_text("webhook.posted:kill")
        first.wait_state(stream, first.push(stream, unreadable()), "rejected")
        wait_for(lambda: "chunk.rejected" in _names(receiver), "the last event", world)
        assert admit.running
        trace_id = answer.headers["traceparent"].split("-")[1]
        found = Told(
            *(world, (first, second), stream, chunk, trace_id, receiver, hook["secret"], collector)
        )
        wait_for(
            lambda: sum(span.name == "model.swap" for span in found.spans) == 2,
            "spans of both replicas",
            world,
        )
        wait_for(lambda: any(span.name == "cycle" for span in found.spans), "the cycle", world)
        yield found


def unreadable() -> bytes:
    """A chunk that is over when it is admitted: nothing in it is an image."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("0/0.png", b"no image")
    return packed.getvalue()


def _names(receiver: Receiver) -> list[str]:
    return [json.loads(call.body)["name"] for call in list(receiver.calls)]


def test_a_chunk_is_one_trace_from_the_upload_to_every_swap(told: Told) -> None:
    upload = told.named("POST /v1/streams/{stream}/chunks")
    assert (upload.service, upload.parent_id) == ("lure-api", "")
    assert upload.attributes["http.response.status_code"] == 202
    for name in ("chunk.receive", "chunk.store", "chunk.admit", "chunk.admit.queue", "cycle"):
        assert told.named(name).parent_id == upload.span_id, name
    assert told.named("cycle.queue").parent_id == upload.span_id
    admit, cycle = told.named("chunk.admit"), told.named("cycle")
    assert (admit.service, cycle.service) == ("lure-admit", "lure-learn")
    assert admit.attributes["lure.chunk"] == told.chunk
    assert cycle.attributes["lure.stream"] == told.stream
    for stage in STAGES:
        assert told.named(f"cycle.{stage}").parent_id == cycle.span_id, stage
    swaps = [span for span in told.spans if span.name == "model.swap"]
    assert {span.parent_id for span in swaps} == {told.named("cycle.promote").span_id}
    assert len({span.attributes["lure.replica"] for span in swaps}) == 2
    loads = [span for span in told.spans if span.name == "model.load"]
    assert {span.parent_id for span in loads} == {span.span_id for span in swaps}
    assert not [span.name for span in told.spans if span.failed]


def test_the_second_chunk_has_a_trace_of_its_own(told: Told) -> None:
    def traces() -> set[str]:
        admits = [span for span in spans_of(told.collector) if span.name == "chunk.admit"]
        return {span.trace_id for span in admits}

    wait_for(lambda: len(traces()) == 2, "the second admission's span", told.world)


def test_a_prediction_is_traced_by_its_client_alone(told: Told) -> None:
    path = f"/v1/streams/{told.stream}/predictions"
    http = told.apis[0].http
    body = {"content": png(images[0])}
    kind = {"Content-Type": "image/png"}
    parent = "00f067aa0ba902b7"
    http.post(path, **body, headers=kind | {"traceparent": f"00-{TRACE}-{parent}-01"})

    def mine() -> dict[str, Seen]:
        found = spans_of(told.collector)
        return {span.name: span for span in found if span.trace_id == TRACE}

    wait_for(lambda: len(mine()) == 3, "the prediction's spans", told.world)
    served = mine()["POST /v1/streams/{stream}/predictions"]
    assert served.parent_id == parent
    for name in ("predict.queue", "predict.compute"):
        assert mine()[name].parent_id == served.span_id
    assert mine()["predict.compute"].attributes["lure.batch_images"] == 1
    roots = [span for span in spans_of(told.collector) if "predictions" in span.name]
    assert len(roots) == 1  # the many that asked whether it is served yet have none


def test_every_line_of_every_process_has_the_same_keys(told: Told) -> None:
    lines = told.lines()
    assert {line["process"] for line in lines} >= {"api", "admit", "learn"}
    for line in lines:
        assert set(line) >= COMMON, line


def test_the_log_follows_a_chunk_through_the_processes(told: Told) -> None:
    mine = [line for line in told.lines() if line.get("trace_id") == told.trace_id]
    by_event = {line["event"]: line for line in mine}
    for event, process in (
        ("chunk received", "api"),
        ("chunk admitted", "admit"),
        ("cycle claimed", "learn"),
        ("swapped", "api"),
    ):
        assert by_event[event]["process"] == process
        assert by_event[event]["stream"] == told.stream
    assert by_event["chunk admitted"]["chunk"] == told.chunk
    assert by_event["cycle claimed"]["attempt"] == 1
    assert by_event["swapped"]["cycle"] == by_event["cycle claimed"]["cycle"]
    for line in mine:
        if line["process"] == "learn":
            assert "cycle" in line, line
        if line["process"] == "admit":
            assert "chunk" in line, line


def test_the_log_is_quiet_where_nothing_happens(told: Told) -> None:
    """Sweeps, leases and looks go on all the time; what they say must not grow with time."""
    seen: dict[tuple[str, str], int] = {}
    for line in told.lines():
        if line["event"] != "request":  # those that are refused: it is asked until it serves
            key = (line["process"], line["event"])
            seen[key] = seen.get(key, 0) + 1
    assert max(seen.values()) < 30, seen


def test_no_secret_is_in_any_log(told: Told) -> None:
    text = "".join(child.spec.log.read_text() for child in told.world.children)
    assert told.secret not in text
    assert told.secret.removeprefix("whsec_") not in text
    assert PATH not in text


def test_a_webhook_hears_everything_in_order_though_the_one_that_told_it_was_killed(
    told: Told,
) -> None:
    calls = [c for c in told.receiver.calls if c.headers["webhook-id"].startswith("evt_")]
    ids = [call.headers["webhook-id"] for call in calls]
    twice = [one for one in set(ids) if ids.count(one) > 1]
    assert len(twice) == 1  # what was told when it died
    at = ids.index(twice[0])
    assert ids[at + 1] == twice[0]
    once = list(dict.fromkeys(ids))
    numbers = [int(one.removeprefix("evt_")) for one in once]
    assert numbers == sorted(numbers)
    names = [json.loads(call.body)["name"] for call in calls]
    del names[at]
    assert names == [
        *("chunk.received", "chunk.admitted", "chunk.learned", "cycle.finished"),
        *("chunk.received", "chunk.rejected"),
    ]


def test_a_webhook_can_be_tried(told: Told) -> None:
    client = told.apis[0].client
    (hook,) = client.webhooks()["items"]
    assert client.try_webhook(hook["id"])["test"]["status"] == 200
