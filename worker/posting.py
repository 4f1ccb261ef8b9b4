"""One call to a webhook's receiver: signed, bounded in time and size, to a public address.

Signed by the Standard Webhooks specification (docs/webhooks.md): HMAC-SHA256 over
`id.timestamp.body`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Self

import httpx

from store import webhooks
from store.outside import BadUrl, check_url, is_public

_MOST_READ = (
    65_536  # bytes of an answer, so that its connection may be used again; nobody sees them
)
_READING_S = 1.0  # for it
_LONGEST_REST_S = 3 * 3600.0  # that a receiver may ask for


@dataclass(frozen=True)
class Answer:
    """What came of a call.

    Attributes:
        status: None where nothing was answered.
        error: What went wrong, in words; None: it was taken.
        rest_s: How long the receiver asks to be left alone.
    """

    status: int | None
    error: str | None
    rest_s: float = 0.0


@dataclass(frozen=True)
class Letter:
    """What is told: a JSON body, and the id by which a receiver knows it if it comes twice."""

    id: str
    body: bytes

    def headers(self, secret: str, *, at: int) -> dict[str, str]:
        """Those of the specification, signed at that second since 1970."""
        signed = b".".join((self.id.encode(), str(at).encode(), self.body))
        mac = hmac.new(webhooks.secret_bytes(secret), signed, hashlib.sha256).digest()
        return {
            "Webhook-Id": self.id,
            "Webhook-Timestamp": str(at),
            "Webhook-Signature": f"v1,{base64.b64encode(mac).decode()}",
        }


class Poster:
    """Calls one receiver, over one connection where it can; a context manager.

    Args:
        url: Where to call.
        secret: Signs.
        timeout_s: For a whole call, from the name's resolution to the answer's head.
        private: Whether addresses that are not public may be called.
    """

    def __init__(self, url: str, secret: str, *, timeout_s: float, private: bool) -> None:
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        self._private = private
        # a loop of its own: it alone ends a call that comes byte by byte
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            verify=_trusted(),
            follow_redirects=False,
            trust_env=False,  # no proxy, which would resolve names for itself
            timeout=timeout_s,
            headers={"User-Agent": f"lure/{version('lure')}", "Content-Type": "application/json"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def post(self, letter: Letter) -> Answer:
        """Call; whatever goes wrong is an answer too."""
        try:
            return self._runner.run(self._answered(letter))
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout_s:g} s")
        except BadUrl as bad:
            return Answer(None, f"the address {bad}")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:500])

    async def _answered(self, letter: Letter) -> Answer:
        async with asyncio.timeout(self._timeout_s):
            response = await self._sent(letter)
        try:
            async with asyncio.timeout(_READING_S):
                await _read_some(response)
        except (httpx.HTTPError, TimeoutError):
            pass  # its status is there, and it is all that counts
        finally:
            await response.aclose()
        return _judged(response)

    async def _sent(self, letter: Letter) -> httpx.Response:
        check_url(self._url, private=self._private)
        url = httpx.URL(self._url)
        addresses = await self._resolved(url)
        for address in addresses[:-1]:
            try:
                return await self._call(letter, url, address)
            except httpx.ConnectError:  # nothing was sent
                continue
        return await self._call(letter, url, addresses[-1])

    async def _resolved(self, url: httpx.URL) -> list[str]:
        """The host's addresses.

        Raises:
            BadUrl: One of them is not public; a name with both kinds has been tampered with.
        """
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await _looked_up(url.host, port)
        if not self._private:
            for address in addresses:
                if not is_public(ipaddress.ip_address(address)):
                    raise BadUrl(f"of {url.host} is {address}, which is not public")
        return addresses

    async def _call(self, letter: Letter, url: httpx.URL, address: str) -> httpx.Response:
        """To that very address: resolved again, the name could lead elsewhere."""
        host = url.netloc.decode("ascii")
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=letter.body,
            headers=letter.headers(self._secret, at=int(time.time())) | {"Host": host},
            extensions={"sni_hostname": url.host},
        )
        return await self._client.send(request, stream=True)


async def _looked_up(host: str, port: int) -> list[str]:
    """The host's addresses, asked for in a thread of its own.

    One of asyncio's would be waited for when the call is over; a name server that hangs leaves this
    one behind, for as long as the resolver's own patience.
    """
    told: Future[list[str]] = Future()
    told.set_running_or_notify_cancel()  # who gives up leaves it alone

    def look() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            told.set_exception(error)
        else:
            told.set_result(list(dict.fromkeys(str(where[0]) for *_, where in found)))

    threading.Thread(target=look, name="resolve", daemon=True).start()
    return await asyncio.wrap_future(told)


async def _read_some(response: httpx.Response) -> None:
    """What is small is read to its end: then its connection may be used again."""
    seen = 0
    async for piece in response.aiter_raw():
        seen += len(piece)
        if seen > _MOST_READ:
            return


def _judged(response: httpx.Response) -> Answer:
    status = response.status_code
    if response.is_success:
        return Answer(status, None)
    if response.is_redirect:
        return Answer(status, f"{status}: it leads elsewhere, where we do not go; change the URL")
    rest_s = _rest_s(response.headers.get("retry-after", ""))
    return Answer(status, f"{status} {response.reason_phrase}".strip(), rest_s)


def _rest_s(asked: str) -> float:
    """What `Retry-After` asks for: seconds, or a date."""
    if asked.isdecimal():
        return min(float(asked), _LONGEST_REST_S)
    try:
        at = parsedate_to_datetime(asked)
    except (ValueError, OverflowError):  # of a year that is none
        return 0.0
    if at.tzinfo is None:  # "-0000": UTC, of no place
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, at.timestamp() - time.time()), _LONGEST_REST_S)


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities, read once a process: that takes longer than a call."""
    return httpx.create_ssl_context()
