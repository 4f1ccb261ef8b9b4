"""Headers that keep a browser from doing with an answer what it was not meant for.

Every answer is data, not a page, but for `/docs`, whose scripts come from where FastAPI has them.
CORS is not offered: a page of another site can send nothing that needs a key, and read nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DOCS = "/docs"
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),  # for browsers that do not know frame-ancestors
]
# a picture of unlearning, opened by itself, has styles of its own
_DATA = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_ORIGIN = re.compile(r"(?:src|href)=\"(https://[^/\"]+)")
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class SafeHeaders:
    """Adds them to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._usual = [*_ALWAYS, (b"content-security-policy", _DATA)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = self._usual
        if scope["path"] == _DOCS:
            added = [*_ALWAYS, (b"content-security-policy", _of_docs(scope["app"].title))]

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, safe)


@cache
def _of_docs(title: str) -> bytes:
    """What the page of FastAPI needs and nothing else: its own script, by its hash."""
    page = bytes(
        get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{title} - Swagger UI",
            oauth2_redirect_url="/docs/oauth2-redirect",
        ).body
    ).decode()
    origins = " ".join(sorted(set(_ORIGIN.findall(page))))
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in _SCRIPT.findall(page))
    policy = [
        "default-src 'none'",
        f"script-src {origins} {hashes}",
        f"style-src {origins} 'unsafe-inline'",
        f"img-src 'self' data: {origins}",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(policy).encode()


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
