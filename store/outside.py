"""Addresses outside: what a webhook may call, so that nobody reaches through us what is inside.

A name is resolved where the call is made, and the call goes to the address that was judged: a name
that answers otherwise the next time gains nothing.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_LONGEST = 2048
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")  # of 6to4, withdrawn by RFC 7526
_LOCAL = ("localhost", "localhost.localdomain")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadUrl(ValueError):
    """It is no address that may be called; the message says why."""


def check_url(url: str, *, private: bool) -> None:
    """Refuse what can be refused by its spelling alone; a name is judged when it is resolved.

    Args:
        url: Where to call.
        private: Whether addresses that are not public may be called.

    Raises:
        BadUrl: See the message.
    """
    if len(url) > _LONGEST or not url.isascii() or any(ord(one) <= 0x20 for one in url):
        raise BadUrl(f"should be at most {_LONGEST} ASCII characters without white space")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadUrl(f"cannot be read: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadUrl("should be http://host… or https://host…")
    if "@" in parts.netloc:
        raise BadUrl("should have no user or password; the signature tells who calls")
    if not private:
        _check_host(parts.hostname)


def _check_host(host: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if host.rstrip(".") in _LOCAL or host.endswith(".localhost"):
            raise BadUrl(f"{host} is not public") from None
        return
    if not is_public(address):
        raise BadUrl(f"{host} is not public")


def is_public(address: Address) -> bool:
    """Whether it is neither loopback, private, link-local, multicast nor otherwise special."""
    inner = _inner(address)
    if isinstance(inner, ipaddress.IPv6Address):
        withdrawn = inner.is_site_local
    else:
        withdrawn = inner in _RELAYS
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or withdrawn)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
