"""Pure ASGI: a name for every request, a problem for every failure, a drain for refused bodies."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.access import REFUSED
from store import tracing

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SUBJECT = re.compile(r"@?[A-Za-z0-9_-]{1,64}(?=:|$)")
_SUBJECTS = {  # what stands before a name in a path, and what the name is called in the log
    "streams": "stream",
    "models": "stream",
    "predictions": "stream",
    "chunks": "chunk",
    "cycles": "cycle",
    "versions": "version",
    "reruns": "rerun",
    "webhooks": "webhook",
}
_ABOUT = ("/v1/", "/v2/models/", "/predictions/", "/models/")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")

log = structlog.get_logger(__name__)


class RequestContext:
    """Binds the request's ids to the log, answers them, and turns failures into problems."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        names = _names(headers)
        if not tracing.is_on() or not _is_traced(scope, headers):
            await self._answer(scope, receive, send, names)
            return
        told = headers.get("traceparent")
        method = scope["method"]
        with tracing.trace(method, parent=told, serves=True, **_http(scope)) as span:
            names["traceparent"] = span.traceparent or names["traceparent"]
            status = await self._answer(scope, receive, send, names)
            span.rename(f"{method} {_route(scope)}")
            span.set(**{"http.route": _route(scope), "http.response.status_code": status})
            if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(str(status or "no answer"))

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, names: dict[str, str]
    ) -> int | None:
        """The answer's status; None: it was not even begun."""
        scope["traceparent"] = names["traceparent"]
        scope["trace_id"] = names["traceparent"].split("-")[1]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            request_id=names["x-request-id"], trace_id=scope["trace_id"], **_subjects(scope["path"])
        )
        status: int | None = None

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(names)
            await send(message)

        began = time.monotonic()
        try:
            await self._app(scope, receive, named)
        except Exception:
            if status is not None:
                raise
            log.exception("request failed", method=scope["method"], path=scope["path"])
            await problems.internal(scope)(scope, receive, named)
        finally:
            _tell(scope, status, time.monotonic() - began)
            structlog.contextvars.clear_contextvars()
        return status


def _is_traced(scope: Scope, headers: Headers) -> bool:
    """What the client traces; beside that, what changes something and is no prediction."""
    told = headers.get("traceparent")
    if told is not None and _TRACEPARENT.fullmatch(told):
        return tracing.is_sampled(told)
    path = scope["path"]
    changes = scope["method"] in _CHANGING and path.startswith("/v1/")
    return changes and not path.endswith("/predictions")


def _http(scope: Scope) -> dict[str, str]:
    return {"http.request.method": scope["method"], "url.path": scope["path"]}


def _route(scope: Scope) -> str:
    """The template, such as `/v1/streams/{stream}`: names are to be few."""
    return getattr(scope.get("route"), "path", None) or "none"


def _subjects(path: str) -> dict[str, str]:
    """What the path is about, by the names that lines of the workers use."""
    if not path.startswith(_ABOUT):
        return {}
    steps = path.split("/")
    found: dict[str, str] = {}
    for kind, name in itertools.pairwise(steps):
        key = _SUBJECTS.get(kind)
        if key is not None and (named := _SUBJECT.match(name)):
            found.setdefault(key, named[0])
    return found


def _names(headers: Headers) -> dict[str, str]:
    """The client's own names where they are well formed, else new ones."""
    request_id = headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = _new_id(8)
    told = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace, flags = told.groups() if told else (_new_id(16), "00")
    return {
        "x-request-id": request_id,
        "traceparent": f"00-{trace}-{_new_id(8)}-{flags}",
    }


def _new_id(size_bytes: int) -> str:
    """A name, no secret: asking the kernel for each would hold the event loop up."""
    return f"{random.getrandbits(8 * size_bytes):0{2 * size_bytes}x}"


def _tell(scope: Scope, status: int | None, seconds: float) -> None:
    is_usual = status is not None and status < HTTPStatus.BAD_REQUEST
    level = log.debug if is_usual or REFUSED in scope else log.info
    level(
        "request",
        method=scope["method"],
        path=scope["path"],
        status=status,
        seconds=round(seconds, 4),
    )


class Drain:
    """Reads on, within bounds, when a request was answered before its body was taken.

    Closing a connection with unread bytes resets it, and the client may lose the answer. So the
    answer goes out at once, complete but for its end; then the body is read and thrown away; then
    the connection closes. A client that still waits for `100 Continue` has sent nothing.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        begun = taken = False

        async def watched() -> Message:
            nonlocal begun, taken
            begun = True
            message = await receive()
            taken = not message.get("more_body", False)  # a disconnect ends it too
            return message

        async def ending(message: Message) -> None:
            if taken:
                await send(message)
            elif message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
                await send(message)
            elif message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                if begun or "expect" not in Headers(scope=scope):
                    await self._read_on(watched)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, watched, ending)

    async def _read_on(self, receive: Receive) -> None:
        left = self._max_bytes
        try:
            async with asyncio.timeout(self._timeout_s):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
