"""Routes of the control plane take small JSON bodies, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message


class JsonRoute(APIRoute):
    """Refuses a body that is no JSON (415) or larger than `max_json_bytes` (413)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if self.body_field is None:
                return await handler(request)
            limit: int = request.app.state.settings.max_json_bytes
            _check(request, limit)
            left = limit

            async def receive() -> Message:
                nonlocal left
                message = await request.receive()
                left -= len(message.get("body", b""))
                if left < 0:
                    raise _too_large(limit)
                return message

            return await handler(Request(request.scope, receive))

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
