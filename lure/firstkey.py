"""The key that `make smoke` shows: of LURE_API_KEY, or a compose stack's first administrator's.

The stack's is shown to this machine alone: elsewhere another service would learn it.

The stack is that of the docker-compose.yml in the working directory (and of COMPOSE_FILE,
COMPOSE_PROJECT_NAME, as always).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lure.client import Client
from lure.errors import LureError
from lure.http import LOOPBACK

_UNAUTHORIZED = 401
_ASK = ("exec", "-T", "api", "lure", "keys", "bootstrap")
_LONGEST_S = 60.0
_REMEDY = "name a key in LURE_API_KEY"


def find(url: str) -> str | None:
    """A key that the service at `url` takes; None where it needs none.

    Raises:
        LureError: It needs one, and none is at hand that may be shown to it.
    """
    given = os.environ.get("LURE_API_KEY")
    if given or not _is_needed(url):
        return given or None
    if urlsplit(url).hostname not in LOOPBACK:
        raise LureError(f"{url} needs a key, and is not the stack on this machine; {_REMEDY}")
    return of_stack()


def compose() -> Sequence[str]:
    """How Compose is called here: `docker compose`, or else `docker-compose`.

    Raises:
        LureError: There is neither.
    """
    docker = shutil.which("docker")
    if docker and _run((docker, "compose", "version")).returncode == 0:
        return (docker, "compose")
    standalone = shutil.which("docker-compose")
    if standalone:
        return (standalone,)
    raise LureError("there is no Docker Compose here")


def of_stack() -> str:
    """The first administrator's key of the stack in the working directory.

    Raises:
        LureError: There is no such stack, or it does not tell.
    """
    if not Path("docker-compose.yml").exists():
        raise LureError(f"the service needs a key, and here is no docker-compose.yml; {_REMEDY}")
    told = _run((*compose(), *_ASK))
    key = told.stdout.strip()
    if told.returncode != 0 or not key:
        raise LureError(f"the service needs a key; {_REMEDY}", detail=told.stderr.strip())
    return key


def _is_needed(url: str) -> bool:
    with Client(url) as client:
        try:
            client.streams()
        except LureError as error:
            if error.status != _UNAUTHORIZED:
                raise
            return True
    return False


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  (our own words)
        argv, capture_output=True, text=True, timeout=_LONGEST_S, check=False
    )
