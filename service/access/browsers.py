"""What keeps other people, and their web pages, out of a service that needs no key.

Whoever may run a browser on this machine may use it; the pages that they look at may not. A page
can send a form or a plain POST anywhere (then `Origin` names the page), and can have its own name
resolve to 127.0.0.1 (then `Host` is that name). Nor may whoever comes through a proxy: its address
is of this machine, theirs is not, and `Host` is what they like. A proxy that says nothing of itself
cannot be told from a client here.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import Scope

from service.exposure import is_loopback

_OF_PROXIES = frozenset(
    (b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"x-real-ip", b"via")
)
_REMEDY = "make a key, and every request needs one instead: lure keys create NAME"


def fault(scope: Scope) -> str | None:
    """Why a request without a key is refused though none is needed; None: it is not."""
    host = origin = None
    for name, value in scope["headers"]:
        if name in _OF_PROXIES:
            told = name.decode("latin-1")
            return f"without keys nothing is answered through a proxy ({told}); {_REMEDY}"
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
    if host is not None and not _names_this_machine(host):
        return f"without keys this service is not {host[:100]!r}; {_REMEDY}"
    if origin is not None and origin.partition("://")[2] != host:
        return f"without keys other sites' pages ({origin[:100]!r}) may not use it; {_REMEDY}"
    return None


def _names_this_machine(host: str) -> bool:
    """Whether it is a loopback address, or a name that nobody can register for a site."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if not {".", ":"} & set(name) or name.endswith(".localhost"):
        return True
    return is_loopback(name)
