"""What keeps other people's web pages out of a service that needs no key.

Whoever may run a browser on this machine may use it; the pages that they look at may not. A page
can send a form or a plain POST anywhere (then `Origin` names the page), and can have its own name
resolve to 127.0.0.1 (then `Host` is that name).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.types import Scope

_REMEDY = "make a key, and every request needs one instead: lure keys create NAME"


def fault(scope: Scope) -> str | None:
    """Why a request without a key is refused though none is needed; None: it is not."""
    host = origin = None
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
    if host is not None and not _is_of_this_machine(host):
        return f"without keys this service is not {host[:100]!r}; {_REMEDY}"
    if origin is not None and origin.partition("://")[2] != host:
        return f"without keys other sites' pages ({origin[:100]!r}) may not use it; {_REMEDY}"
    return None


def _is_of_this_machine(host: str) -> bool:
    """Whether it is an address, or a name that nobody can register."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
