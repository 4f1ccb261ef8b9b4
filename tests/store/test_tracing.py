"""Spans in this process, sent to a collector that is one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from store import tracing
from store.settings import StoreSettings
from tests.receiving import Receiver, receiving, spans_of

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-1] + "0"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def settings_with(endpoint: str | None) -> StoreSettings:
    return StoreSettings(
        database_url="postgresql+psycopg://127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1",
        blobs="/tmp/none",
        otlp_endpoint=endpoint,
    )


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiving() as one:
        tracing.install(settings_with(one.url), "lure-test")
        try:
            yield one
        finally:
            tracing.close()


def test_without_a_collector_nothing_is_recorded() -> None:
    tracing.install(settings_with(None), "lure-test")
    assert not tracing.is_on()
    with tracing.trace("one", parent=PARENT) as span, tracing.span("two") as inner:
        span.set(stream="digits")
        span.rename("other")
        span.fail("words")
        assert (span.traceparent, inner.traceparent, tracing.current()) == (None, None, None)


def test_spans_are_sent_with_their_parents(collector: Receiver) -> None:
    with tracing.trace("outer", parent=PARENT, links=[OTHER], stream="digits") as outer:
        assert outer.traceparent == tracing.current()
        with tracing.span("inner", images=3, nothing=None) as inner:
            assert inner.traceparent is not None
            tracing.record(
                "past", inner.traceparent, began=time.monotonic() - 2, ended=time.monotonic()
            )
    tracing.close()
    assert {call.path for call in collector.calls} == {"/v1/traces"}
    spans = {span.name: span for span in spans_of(collector)}
    assert {span.trace_id for span in spans.values()} == {PARENT.split("-")[1]}
    assert spans["outer"].parent_id == "b7ad6b7169203331"
    assert spans["outer"].links == (OTHER.split("-")[1],)
    assert spans["outer"].attributes == {"lure.stream": "digits"}
    assert spans["inner"].parent_id == spans["outer"].span_id
    assert spans["inner"].attributes == {"lure.images": 3}
    assert spans["past"].parent_id == spans["inner"].span_id
    assert spans["past"].seconds == pytest.approx(2, abs=0.1)
    assert {span.service for span in spans.values()} == {"lure-test"}


def test_what_is_within_nothing_is_no_span(collector: Receiver) -> None:
    with tracing.span("alone") as span:
        assert span.traceparent is None
    with tracing.trace("root") as root:
        assert root.traceparent is not None
    tracing.close()
    assert [span.name for span in spans_of(collector)] == ["root"]


def test_what_its_client_does_not_sample_is_not_recorded(collector: Receiver) -> None:
    with tracing.trace("outer", parent=UNSAMPLED) as outer:
        assert outer.traceparent is not None
        assert not tracing.is_sampled(outer.traceparent)
        assert tracing.current() is None
        with tracing.span("inner") as inner:
            assert inner.traceparent is None
    tracing.close()
    assert spans_of(collector) == []


def test_one_step_ends_where_the_next_begins(collector: Receiver) -> None:
    def walk() -> None:
        with tracing.Steps() as steps:
            steps.next("first")
            steps.next("second", epochs=2)
            assert steps.traceparent == tracing.current()
            raise KeyError

    with tracing.trace("whole"), pytest.raises(KeyError):
        walk()
    tracing.close()
    spans = {span.name: span for span in spans_of(collector)}
    assert spans["first"].parent_id == spans["second"].parent_id == spans["whole"].span_id
    assert (spans["first"].failed, spans["second"].failed, spans["whole"].failed) == (
        *(False, True, False),
    )


def test_a_failure_is_told_by_its_kind_without_its_words(collector: Receiver) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.trace("fails"):
        raise ValueError("secret")
    tracing.close()
    (span,) = spans_of(collector)
    assert span.failed
    assert b"secret" not in collector.calls[0].body


def test_a_collector_that_is_away_is_borne() -> None:
    tracing.install(settings_with("http://127.0.0.1:1"), "lure-test")
    for number in range(5000):  # more than the queue holds
        with tracing.trace(f"span-{number}"):
            pass
    tracing.close(timeout_s=0.1)
    assert not tracing.is_on()


def test_the_environment_says_who_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with receiving() as one:
        tracing.install(settings_with(f"{one.url}/v1/traces"), "lure-test")
        with tracing.trace("x"):
            pass
        tracing.close()
        (span,) = spans_of(one)
    assert span.service == "mine"
