"""Requests to the service: problems become errors, what is safe to send again is sent again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from lure.errors import LureError, Unreachable

API_KEY = "LURE_API_KEY"  # in the environment
BUSY = frozenset({429, 503})
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
CONNECT_S, READ_S = 5.0, 120.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Http:
    """One service, at one URL.

    Args:
        url: where it answers.
        api_key: shown with every request; None: the environment's LURE_API_KEY, if there is one.
        retries: how often a request that may safely be sent twice is sent again after a lost
            connection, 429 or 503, waiting as `Retry-After` says. One that may not is sent again
            only where no connection was had.
    """

    def __init__(self, url: str, api_key: str | None = None, *, retries: int = 5) -> None:
        self.url = url.rstrip("/")
        self.retries = retries
        self.client = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            headers={"User-Agent": "lure", **_shown(api_key)},
            # a proxy is of no use on the way to this very machine
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,
        )

    def close(self) -> None:
        self.client.close()

    def json(self, method: str, path: str, *, idempotent: bool = True, **more: Any) -> Any:
        """The answer's document; `more` goes to httpx. See `answer`."""

        def build() -> httpx.Request:
            return self.client.build_request(method, path, **more)

        return self.answer(build, idempotent=idempotent).json()

    def answer(
        self, build: Callable[[], httpx.Request], *, idempotent: bool = True
    ) -> httpx.Response:
        """Sends what `build` makes, anew for each attempt, and gives the answer that is no error.

        Args:
            build: makes the request; its body may be read only once, hence the function.
            idempotent: whether it may be sent again when it may have been acted on: after a lost
                connection, and after a 503, which a service whose database left during the commit
                gives too.

        Raises:
            LureError: the service refused.
            Unreachable: there was no answer.
        """
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            pause_s = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
            try:
                response = self.client.send(build())
            except httpx.TransportError as error:
                if last or not (idempotent or isinstance(error, httpx.ConnectError)):
                    raise unreachable(self.url, error) from error
            except httpx.InvalidURL as error:
                raise unreachable(self.url, error) from error
            else:
                if last or response.status_code not in BUSY or not idempotent:
                    return checked(response)
                pause_s = _retry_after_s(response, otherwise=pause_s)
            time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def checked(response: httpx.Response) -> httpx.Response:
    """The response itself, if it is no error.

    Raises:
        LureError: its problem (RFC 9457), or what can be told without one.
    """
    if response.is_success:
        return response
    problem: Any = None
    with suppress(ValueError):
        problem = response.json()
    if not isinstance(problem, dict):
        problem = {"detail": response.text[:500]}
    raise LureError(
        str(problem.get("title") or response.reason_phrase or "error"),
        detail=str(problem.get("detail") or ""),
        status=response.status_code,
        errors=problem.get("errors") or (),
    )


def _shown(api_key: str | None) -> dict[str, str]:
    """The header that shows the key.

    Raises:
        LureError: it cannot be a key.
    """
    key = (os.environ.get(API_KEY, "") if api_key is None else api_key).strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise LureError("the API key is none", detail=f"see {API_KEY}; it looks like lure_…")
    return {"Authorization": f"Bearer {key}"}


def unreachable(url: str, error: Exception) -> Unreachable:
    """No answer from `url`."""
    return Unreachable(f"no answer from {url}", detail=str(error) or type(error).__name__)


def _retry_after_s(response: httpx.Response, *, otherwise: float) -> float:
    try:
        told = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return otherwise
    return min(max(told, 0.0), LONGEST_PAUSE_S)
