"""Who asks, and whether they may: decided before a byte of the body is read.

A service that only this machine can reach, and for which no key was ever made, is open. Otherwise
each request shows a key: `Authorization: Bearer lure_…`.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from starlette.types import Scope

from service.access import ANONYMOUS, NOBODY, REFUSED, Principal, browsers, needs
from service.access.keeper import Keeper
from service.access.keyring import Entry
from service.access.needs import Need
from service.access.sparing import Sparing
from service.errors import Forbidden, ServiceError, TooMany, Unauthenticated
from service.exposure import is_loopback
from service.ratelimit import RateLimits, Standing
from service.settings import ServiceSettings
from store.errors import DatabaseAway

_METRICS = "metrics"
_BEARER = "bearer "
_AT_START_S = 3.0  # for the keys to be read for the first time
_LOOK_EVERY_S = 0.05
_TOLD = 60  # failures of one address that have a line in the log, in a minute
_NETWORK_BITS = 64
_SEND_A_KEY = (
    "this needs an API key: send the header `Authorization: Bearer lure_…` with a valid key"
    " (clients of LURE: set LURE_API_KEY); an administrator makes keys with `lure keys create`"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Admitted:
    """Who may go on, and what the answer says of their rate limit."""

    principal: Principal
    headers: Mapping[str, str]


_IN_THE_OPEN = Admitted(ANONYMOUS, {})
_AS_NOBODY = Admitted(NOBODY, {})


class Gate:
    """Judges every request to an operation that is not open.

    Args:
        settings: Where the service listens, and its limits.
        keeper: Has the keys, and is told of refusals.
        limits: Counts requests.
    """

    def __init__(self, settings: ServiceSettings, *, keeper: Keeper, limits: RateLimits) -> None:
        self.journal = keeper.journal
        self._keyring = keeper.keyring
        self._counters = keeper.counters
        self._limits = limits
        self._told = Sparing(_TOLD)
        self._is_exposed = not is_loopback(settings.host)
        self._metrics_are_open = settings.metrics_open
        self._per_minute = settings.requests_per_minute
        self._failures_per_minute = settings.failed_auths_per_minute

    def still_opens(self, principal: Principal) -> bool:
        """Whether who was admitted would be so now: a key may end, and a first one may be made."""
        if principal.key_id is None:
            return self._is_open
        return self._keyring.opens(principal.key_id)

    @property
    def _is_open(self) -> bool:
        """Whether no key is needed."""
        return not self._is_exposed and not self._keyring.has_any

    async def admit(self, need: Need, scope: Scope) -> Admitted:
        """Let a request on, or refuse it.

        Raises:
            Unauthenticated: It shows no valid key.
            Forbidden: Its key may not do this, or not to this stream.
            TooMany: Its key, or failures from its address, came too often.
            DatabaseAway: The keys could not be read yet.
        """
        if need.action == _METRICS and self._metrics_are_open:
            return _AS_NOBODY
        if not self._keyring.is_known:
            await self._await_keys()
        if self._is_open:
            return self._in_the_open(scope)
        entry, fault = self._look(scope)
        if entry is None or fault is not None:
            raise await self._unauthenticated(need, scope, entry, fault or "unknown")
        principal = entry.principal
        standing = await self._standing(entry)  # what is refused counts too: it costs as much
        if standing is not None and not standing.is_within:
            words = f"key {principal.name} may make {standing.limit} requests in a minute"
            error = TooMany(words, standing.headers)
            raise await self._refusal(need, scope, principal, "key_rate", error)
        if (denied := _denied(need, scope, principal)) is not None:
            reason, words = denied
            raise await self._refusal(need, scope, principal, reason, Forbidden(words))
        self._keyring.used(principal.key_id or "")
        return Admitted(principal, standing.headers if standing else {})

    async def _await_keys(self) -> None:
        """Only after the start."""
        patience = int(_AT_START_S / _LOOK_EVERY_S)
        for _ in range(patience):
            if self._keyring.is_known:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise DatabaseAway("the keys could not be read yet")

    def _in_the_open(self, scope: Scope) -> Admitted:
        if (words := browsers.fault(scope)) is not None:
            self._counters.refused("browser")
            raise Forbidden(words)
        return _IN_THE_OPEN

    def _look(self, scope: Scope) -> tuple[Entry | None, str | None]:
        text = _shown(scope)
        if text is None:
            return None, "missing"
        entry = self._keyring.find(text)
        return (None, "unknown") if entry is None else (entry, entry.fault)

    async def _unauthenticated(
        self, need: Need, scope: Scope, entry: Entry | None, reason: str
    ) -> ServiceError:
        """The refusal; of why it is refused the client learns nothing."""
        error: ServiceError = Unauthenticated(_SEND_A_KEY)
        scope[REFUSED] = True
        address = _address(scope)
        if self._failures_per_minute:
            standing = await self._limits.hit("address", address, self._failures_per_minute)
            if not standing.is_within:
                words = f"too many requests without a valid key came from {address}"
                self._counters.refused("address_rate")
                return TooMany(words, {"retry-after": standing.headers["retry-after"]})
        if self._told.allows(address):
            log.info("no valid key", reason=reason, address=address)
        if entry is not None:
            return await self._refusal(need, scope, entry.principal, reason, error)
        self._counters.refused(reason)
        return error

    async def _refusal(
        self, need: Need, scope: Scope, principal: Principal, reason: str, error: ServiceError
    ) -> ServiceError:
        """The same, counted and written down."""
        scope[REFUSED] = True
        self._counters.refused(reason)
        status = _STATUS[type(error)]
        await self.journal.refused(need, scope, principal, status, reason)
        return error

    async def _standing(self, entry: Entry) -> Standing | None:
        per_minute = entry.requests_per_minute or self._per_minute
        if not per_minute:
            return None
        return await self._limits.hit("key", entry.principal.key_id or "", per_minute)


_STATUS: dict[type[ServiceError], int] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    TooMany: HTTPStatus.TOO_MANY_REQUESTS,
}


def _address(scope: Scope) -> str:
    """Whom failures are counted for; of IPv6 a whole network, since one client has all of it."""
    client = scope.get("client")
    if not client:
        return "unknown"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))


def _shown(scope: Scope) -> str | None:
    """The key that a request shows; None: it shows none, or several."""
    shown = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(shown) != 1:
        return None
    words: str = shown[0].decode("latin-1")
    if words[: len(_BEARER)].lower() != _BEARER:
        return None
    return words[len(_BEARER) :].strip()


def _denied(need: Need, scope: Scope, principal: Principal) -> tuple[str, str] | None:
    """Why a key may not do it: a reason to be counted by, and words."""
    if principal.scopes.isdisjoint(need.accepted):
        wanted = " or ".join(need.scopes)
        return "scope", f"this needs a key with the scope {wanted}; key {principal.name} has not"
    if principal.stream is None:
        return None
    asked = _streams(need, scope)
    if asked is None:
        words = "this belongs to no stream and needs a key that is bound to none"
        return "stream", f"{words}; key {principal.name} is bound to {principal.stream}"
    if any(name != principal.stream for name in asked):
        words = f"key {principal.name} is bound to stream {principal.stream}"
        return "stream", f"{words}; another one needs another key"
    return None


def _streams(need: Need, scope: Scope) -> list[str] | None:
    """The streams that a request names; None: it is about no stream."""
    named = needs.stream_of(scope.get("path_params", {}))
    if named is not None:
        return [named]
    if not need.names_stream_aside:
        return None
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    found = [value for name, value in query if name == "stream"]
    headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-stream"]
    return found + headers
