"""Where a task's trace and its log come from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.contextvars import get_contextvars

from store import chunks, cycles, traces, tracing
from store.engine import Database
from store.models import Stream
from store.settings import StoreSettings
from tests.factories import POLICIES, admit_chunk, create_chunk, create_stream
from tests.receiving import Receiver, receiving, spans_of
from worker.trail import Trail, follow, of_admission, of_cycle

FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def stream(database: Database) -> Stream:
    shape = {"channels": 1, "height": 8, "width": 8}
    at_once = POLICIES | {"trigger": {"max_chunks": 2}}
    return create_stream(database, classes=["0", "1"], input=shape, policies=at_once)


@pytest.fixture
def collector(settings: StoreSettings) -> Iterator[Receiver]:
    with receiving() as one:
        tracing.install(settings.model_copy(update={"otlp_endpoint": one.url}), "lure-test")
        yield one
        tracing.close()


def brought(database: Database, stream: Stream, content: str, traceparent: str | None) -> str:
    """A chunk, and the trace of the request that brought it."""
    chunk = create_chunk(database, stream, content)
    if traceparent is not None:
        with database.begin() as session:
            traces.keep(session, chunk.id, traceparent)
    return chunk.id


def test_an_admission_goes_on_with_its_chunks_trace(database: Database, stream: Stream) -> None:
    chunk = brought(database, stream, "a", FIRST)
    with database.begin() as session:
        claim = chunks.claim_admission(session, chunk, stale_s=10)
        assert claim is not None
        trail = of_admission(session, claim)
    assert (trail.stream, trail.parent) == ("digits", FIRST)
    assert trail.waited_s > 0


def test_a_cycle_goes_on_with_the_oldest_and_is_linked_with_the_others(
    database: Database, stream: Stream
) -> None:
    for content, traceparent in (("a", FIRST), ("b", SECOND)):
        chunk = brought(database, stream, content, traceparent)
        with database.begin() as session:
            row = chunks.by_ids(session, [chunk])[0]
        admit_chunk(database, stream, row)
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="one", stale_s=10)
        assert claim is not None
        trail = of_cycle(session, claim)
        assert traces.of(session, [claim.cycle_id]) == {claim.cycle_id: FIRST}
    assert (trail.parent, trail.links) == (FIRST, (SECOND,))
    assert trail.waited_s > 0
    with database.begin() as session:
        again = cycles.claim_next(session, stream.id, worker="two", stale_s=0)
        assert again is not None
        taken_over = of_cycle(session, again)
    assert (taken_over.parent, taken_over.links, taken_over.waited_s) == (FIRST, (SECOND,), 0)


def test_what_no_request_brought_begins_a_trace(
    database: Database, stream: Stream, collector: Receiver
) -> None:
    chunk = brought(database, stream, "a", None)
    with database.begin() as session:
        claim = chunks.claim_admission(session, chunk, stale_s=10)
        assert claim is not None
        trail = of_admission(session, claim)
    assert trail.parent is None
    with follow("chunk.admit", trail, chunk=chunk) as span:
        assert span.traceparent is not None
        assert get_contextvars()["trace_id"] == traces.id_of(span.traceparent)
    tracing.close()
    assert [span.name for span in spans_of(collector)] == ["chunk.admit"]


def test_lines_within_tell_what_it_is_about_and_none_behind(collector: Receiver) -> None:
    trail = Trail("digits", FIRST, links=(SECOND,), waited_s=2.5)
    with follow("cycle", trail, cycle="cyc_1", attempt=1):
        assert get_contextvars() == {
            "stream": "digits",
            "cycle": "cyc_1",
            "attempt": 1,
            "trace_id": traces.id_of(FIRST),
        }
    assert get_contextvars() == {}
    tracing.close()
    spans = {span.name: span for span in spans_of(collector)}
    assert spans["cycle"].links == (traces.id_of(SECOND),)
    assert spans["cycle.queue"].seconds == pytest.approx(2.5)
    assert spans["cycle.queue"].parent_id == spans["cycle"].parent_id == "b7ad6b7169203331"


def test_without_a_collector_the_log_tells_the_trace_all_the_same() -> None:
    with follow("cycle", Trail("digits", FIRST), cycle="cyc_1") as span:
        assert span.traceparent is None
        assert get_contextvars()["trace_id"] == traces.id_of(FIRST)
