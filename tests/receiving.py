"""HTTP servers that keep what they are sent: receivers of webhooks, a collector of spans."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Receiver:
    """A server on loopback; what it answers can be changed at any time."""

    url: str
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], int] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, timeout_s: float = 30.0) -> list[Call]:
        """The calls, once there are that many."""
        with self.came:
            reached = self.came.wait_for(lambda: len(self.calls) >= count, timeout_s)
            assert reached, f"{len(self.calls)} calls instead of {count}"
            return list(self.calls)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.path, names, body)
            with receiver.came:
                receiver.calls.append(call)
                receiver.came.notify_all()
            try:
                self.send_response(receiver.answer(call))
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:  # who called does not wait any more
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Seen:
    """A span as a collector has it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    seconds: float
    attributes: dict[str, Any]
    failed: bool


def spans_of(receiver: Receiver) -> list[Seen]:
    """All spans that a collector was sent."""
    found: list[Seen] = []
    for call in list(receiver.calls):
        request = ExportTraceServiceRequest.FromString(call.body)
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                found += [_seen(service, span) for span in scope.spans]
    return found


def _seen(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple(link.trace_id.hex() for link in span.links),
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        _attributes(span.attributes),
        span.status.code == span.status.STATUS_CODE_ERROR,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
