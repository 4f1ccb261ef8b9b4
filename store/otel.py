"""The spans of `store.tracing` by OpenTelemetry, sent as OTLP over HTTP.

The standard variables are honoured: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_CERTIFICATE`,
`…_COMPRESSION`, `OTEL_SDK_DISABLED`. Only where to send is our own setting.

Nobody ever waits for the collector: spans lie in a bounded queue that a thread empties, and while
the collector is away the oldest are dropped.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from store.tracing import Attribute, Span

_PATH = "/v1/traces"
_COMPLAIN_EVERY_S = 60.0
_TALKATIVE = ("opentelemetry.exporter", "opentelemetry.sdk")

_propagator = TraceContextTextMapPropagator()


class Otel:
    """Records spans and sends them to `endpoint`, a collector's base URL or its full path."""

    def __init__(self, endpoint: str, service: str) -> None:
        url = endpoint.rstrip("/")
        exporter = OTLPSpanExporter(endpoint=url if url.endswith(_PATH) else url + _PATH)
        # its own end at exit would wait half a minute for a collector that is away
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("lure", version("lure"))
        for name in _TALKATIVE:
            for handled in (name, *_below(name)):
                logging.getLogger(handled).addFilter(_Seldom())

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: str | None,
        links: Sequence[str],
        serves: bool,
        attributes: dict[str, Attribute],
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else _context(parent),
            kind=SpanKind.SERVER if serves else SpanKind.INTERNAL,
            links=[Link(_within(one)) for one in links],
            attributes=_told(attributes),
            # a message may quote what belongs in the log at most
            record_exception=False,
            set_status_on_exception=False,
        ) as inner:
            span = _Open(inner)
            try:
                yield span
            except Exception as error:
                span.fail(type(error).__name__)
                raise

    def current(self) -> str | None:
        span = trace.get_current_span()
        return _spelled(span.get_span_context()) if span.is_recording() else None

    def record(
        self,
        name: str,
        parent: str,
        *,
        began: float,
        ended: float,
        attributes: dict[str, Attribute],
    ) -> None:
        zero = time.time() - time.monotonic()
        self._tracer.start_span(
            name,
            context=_context(parent),
            start_time=int((zero + began) * 1e9),
            attributes=_told(attributes),
        ).end(int((zero + ended) * 1e9))

    def close(self, timeout_s: float) -> None:
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(timeout_s)


class _Open:
    """A span that is going on."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        return _spelled(self._span.get_span_context())

    def set(self, **attributes: Attribute) -> None:
        self._span.set_attributes(_told(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, words: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, words))


class _Seldom(logging.Filter):
    """One line in a minute tells enough of a collector that is away."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if record.levelno < logging.ERROR or now < self._silent_until:
            return False
        self._silent_until = now + _COMPLAIN_EVERY_S
        return True


def _below(name: str) -> list[str]:
    """The loggers there are under that one: a filter is asked by its own logger alone."""
    known = logging.Logger.manager.loggerDict
    return [one for one in known if one.startswith(f"{name}.")]


def _resource(service: str) -> Resource:
    """What the environment says of this process stands above what we say."""
    ours = {
        "service.name": service,
        "service.version": version("lure"),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    said = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in said})


def _context(traceparent: str) -> Context:
    return _propagator.extract({"traceparent": traceparent}, context=Context())


def _within(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_context(traceparent)).get_span_context()


def _spelled(context: trace.SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _told(attributes: Mapping[str, Attribute]) -> dict[str, str | int | float | bool]:
    return {
        name if "." in name else f"lure.{name}": value
        for name, value in attributes.items()
        if value is not None
    }
