"""uvicorn's HTTP/1.1, with bounds on what comes before a request is one, and after its answer.

uvicorn itself bounds neither a request's line and headers, nor the time that they take, nor how
many connections wait for it: each of these costs memory or a descriptor before anybody was asked
for a key. What is beyond them is told with a problem, and the connection closes. Nor does it bound
how long an answer may lie unread: then the kernel cuts the connection, where it is Linux.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.settings import ServiceSettings

_S = HTTPStatus


@dataclass(frozen=True)
class Bounds:
    """Of what comes before a request, and after it.

    Attributes:
        connections: Open at once, in this process.
        head_bytes: A request's line and headers.
        head_s: Until all of them are there.
        unread_s: In which a client takes nothing of what was sent to it.
    """

    connections: int
    head_bytes: int
    head_s: float
    unread_s: float


class _TooLarge(Exception):
    """Ends the parser's work, which tells nobody why."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection; see `bounded`."""

    bounds: ClassVar[Bounds]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _bound_unread(transport, self.bounds.unread_s)
        self._parsed_bytes = self._raw_bytes = 0  # of a head that is not complete
        self._is_in_head = self._is_too_large = False
        self._patience: asyncio.TimerHandle | None = None
        if len(self.connections) > self.bounds.connections:
            words = f"{self.bounds.connections} connections are open already"
            self._refuse(_S.SERVICE_UNAVAILABLE, "overloaded", words, retry_after_s=1)
        else:
            self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        is_of_head = self._is_in_head or self._is_idle()
        super().data_received(data)
        if is_of_head and self._is_in_head:
            # the parser tells of a header when it is complete; this counts one without an end
            self._raw_bytes += len(data)
            if self._raw_bytes > self.bounds.head_bytes:
                self._refuse_head()
        if self._awaits_request() and self._patience is None:
            self._be_patient()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._parsed_bytes = self._raw_bytes = 0
        self._is_in_head = True

    def on_url(self, url: bytes) -> None:
        self._bound(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bound(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._rest()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Of what the parser could not read; no page of it is told, only that."""
        if self._is_too_large:
            self._refuse_head()
        elif not self.transport.is_closing():
            self._refuse(_S.BAD_REQUEST, "bad-request", "this is no HTTP/1.1 request")

    def _bound(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > self.bounds.head_bytes:
            self._is_too_large = True
            raise _TooLarge

    def _awaits_request(self) -> bool:
        """Whether nothing is under way, or a request whose head is not complete."""
        waiting = self.timeout_keep_alive_task is None and self._is_idle()
        return (waiting or self._is_in_head) and not self.transport.is_closing()

    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _be_patient(self) -> None:
        self._patience = self.loop.call_later(self.bounds.head_s, self._lose_patience)

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self.transport.is_closing():
            return
        if not self._is_idle():
            self._be_patient()  # the next request's head may come while this one is answered
        elif self._is_in_head:
            words = f"the request's head took longer than {self.bounds.head_s:g} s"
            self._refuse(_S.REQUEST_TIMEOUT, "too-slow", words)
        else:
            self.transport.close()

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            words = f"a request's line and headers may have {self.bounds.head_bytes} bytes"
            self._refuse(_S.REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", words)

    def _refuse(
        self, status: HTTPStatus, slug: str, words: str, *, retry_after_s: int | None = None
    ) -> None:
        """Answer by hand, as there is no request yet that could be answered."""
        problem: dict[str, Any] = {
            "type": f"urn:lure:problem:{slug}",
            "title": status.phrase,
            "status": int(status),
            "detail": words,
            "instance": "",
            "trace_id": None,
        }
        body = json.dumps(problem).encode()
        head = [
            f"HTTP/1.1 {int(status)} {status.phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            "x-content-type-options: nosniff",
            "connection: close",
        ]
        if retry_after_s is not None:
            head.append(f"retry-after: {retry_after_s}")
        if self._is_idle():
            self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()


def _bound_unread(transport: asyncio.Transport, seconds: float) -> None:
    """The kernel sees what is taken of its buffers; the time counts while nothing is."""
    if sys.platform == "linux":
        taken = transport.get_extra_info("socket")
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def bounded(settings: ServiceSettings) -> type[BoundedProtocol]:
    """The protocol with the settings' bounds, as uvicorn's `http` takes it."""
    bounds = Bounds(
        connections=settings.max_connections,
        head_bytes=settings.max_head_bytes,
        head_s=settings.head_timeout_s,
        unread_s=settings.unread_timeout_s,
    )
    return type("_Bounded", (BoundedProtocol,), {"bounds": bounds})
