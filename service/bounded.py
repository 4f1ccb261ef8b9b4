"""Routes of the control plane take small JSON bodies, in good time, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from service.access.route import GuardedRoute
from service.errors import Fault, Invalid
from service.settings import ServiceSettings


class JsonRoute(GuardedRoute):
    """Refuses a body that is no JSON (415), too large (413) or too slow (408); see the settings."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if self.body_field is None:
                return await handler(request)
            settings: ServiceSettings = request.app.state.settings
            _check(request, settings.max_json_bytes)
            try:
                return await handler(Request(request.scope, _bounded(request.receive, settings)))
            except HTTPException as error:
                if not isinstance(error.__cause__, UnicodeDecodeError | RecursionError):
                    raise
                words = "not valid JSON: no UTF-8, or too deep"
                raise Invalid(f"the body: {words}", [Fault("", words)]) from error

        return bounded


def _bounded(receive: Receive, settings: ServiceSettings) -> Receive:
    left, complete = settings.max_json_bytes, False
    end = asyncio.get_running_loop().time() + settings.body_timeout_s

    async def bounded() -> Message:
        nonlocal left, complete
        try:
            # behind the body comes the client's leaving, which may take its time
            async with asyncio.timeout_at(None if complete else end):
                message = await receive()
        except TimeoutError as error:
            words = f"the body took longer than {settings.body_timeout_s:g} s"
            raise HTTPException(408, words) from error
        complete = not message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise _too_large(settings.max_json_bytes)
        return message

    return bounded


def _check(request: Request, limit: int) -> None:
    length = request.headers.get("content-length", "0")
    if length == "0" and "transfer-encoding" not in request.headers:
        return
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        given = kind or "a body without a Content-Type"
        raise HTTPException(415, f"the body is application/json here, not {given}")


def _too_large(limit: int) -> HTTPException:
    # FastAPI lets this one kind of error through while it reads a body
    return HTTPException(413, f"a JSON body may have {limit} bytes")
