"""The OpenAPI document as bytes, made once: anybody may ask for it, as often as they like."""

from __future__ import annotations

import hashlib
import threading
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.preconditions import Preconditions, etag

_MEDIA_TYPE = "application/json"


class _Document:
    """What FastAPI would put together and write out anew for each request."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._making = threading.Lock()

    @cached_property
    def _made(self) -> tuple[bytes, str]:
        """Its bytes, and their digest."""
        told: dict[str, Any] = self._app.openapi()
        written = bytes(JSONResponse(told).body)
        return written, hashlib.sha256(written).hexdigest()

    def answer(self, request: Request) -> Response:
        """The document; in a thread, as the first one takes a while."""
        with self._making:
            written, digest = self._made
        headers = {"ETag": etag(digest)}
        if Preconditions(if_none_match=request.headers.get("if-none-match")).unchanged(digest):
            return Response(status_code=304, headers=headers)
        return Response(written, headers=headers, media_type=_MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Put it in the place of FastAPI's own; to be called behind all that adds to the document."""
    assert app.openapi_url is not None
    document = Route(app.openapi_url, _Document(app).answer, include_in_schema=False)
    app.router.routes[:] = [
        document if getattr(route, "path", None) == app.openapi_url else route
        for route in app.router.routes
    ]
