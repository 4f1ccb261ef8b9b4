"""What an operator types; what needs rows is done by `python -m store.admin`, as a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lure import layout
from lure.errors import EmbeddedError
from lure.servers import Postgres, Redis

app = typer.Typer()

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The folder of a running `lure up`; else LURE_* settings say."),
]

_NEEDED = ("LURE_DATABASE_URL", "LURE_REDIS_URL", "LURE_BLOBS")
_SECRETS = "LURE_SECRETS_DIR"  # a folder of files that may say the same


def admin(*words: str, data: Path | None = None) -> NoReturn:
    """Run `python -m store.admin WORDS` and end with its exit status.

    Args:
        words: The command and its arguments.
        data: The folder of an embedded stack that is up; without it the `LURE_*` variables of this
            process name database, Redis and blobs.

    Raises:
        EmbeddedError: No stack is up on that folder, or a setting is missing.
    """
    raise typer.Exit(run_admin(*words, env=environment(data)))


def run_admin(*words: str, env: Mapping[str, str]) -> int:
    """Run `python -m store.admin WORDS`; its exit status, 128 + n where signal n ended it."""
    argv = [sys.executable, "-P", "-m", "store.admin", *words]
    ended = subprocess.run(argv, env=env, check=False)  # noqa: S603
    return ended.returncode if ended.returncode >= 0 else 128 - ended.returncode


def environment(data: Path | None) -> dict[str, str]:
    """The settings of the processes that are to be worked upon.

    Raises:
        EmbeddedError: No stack is up on that folder, or a setting is missing.
    """
    return _of_variables() if data is None else _of_stack(data.absolute())


def _of_variables() -> dict[str, str]:
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing and _SECRETS not in os.environ:
        message = f"{', '.join(missing)} must be set; --data FOLDER names a running `lure up`"
        raise EmbeddedError(message)
    return dict(os.environ)


def _of_stack(data: Path) -> dict[str, str]:
    postgres, redis = Postgres(data / "postgres"), Redis(data / "redis")
    if not _answers(postgres.sockets / ".s.PGSQL.5432"):
        raise EmbeddedError(f"no `lure up --data {data}` of this user is running")
    # quiet: what is told to a person stands between the lines of the log
    return {"LURE_LOG_JSON": "false", **layout.environment(data, postgres.url, redis.url)}


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(2.0)
        try:
            link.connect(str(path))
        except OSError:
            return False
    return True
