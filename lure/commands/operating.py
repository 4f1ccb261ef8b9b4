"""What an operator types; what needs rows is done by `python -m store.admin`, as a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lure import examining, layout, lock, render
from lure.client import DEFAULT_URL
from lure.commands.options import Url, folder
from lure.errors import EmbeddedError
from lure.servers import Postgres, Redis

app = typer.Typer()

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The folder of a running `lure up`; else LURE_* settings say."),
]

Id = Annotated[
    str | None, typer.Option("--backup", help="One of the folder's backups; else the newest.")
]

_NEEDED = ("LURE_DATABASE_URL", "LURE_REDIS_URL", "LURE_BLOBS")
_SECRETS = "LURE_SECRETS_DIR"  # a folder of files that may say the same


@app.command()
def doctor(
    *,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="All findings as JSON.")] = False,
    data: Data = None,
) -> None:
    """Look for what is wrong, with the remedy for each; exits with 1 if something does not work."""
    named = url or os.environ.get("LURE_URL")
    env = dict(os.environ) if data is None else _would_be(data.absolute())
    found = examining.examine(env, named or DEFAULT_URL, named=named is not None)
    if as_json:
        render.document(found)
    else:
        rows = ((one["state"], one["name"], one["found"], one["remedy"]) for one in found)
        render.table("doctor", ("state", "name", "found", "remedy"), rows)
    raise typer.Exit(examining.failed(found))


@app.command()
def backup(
    target: Annotated[
        Path,
        typer.Argument(
            parser=folder, metavar="FOLDER", help="A folder of backups; made if it is not there."
        ),
    ],
    *,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Delete all but the newest so many.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Take none; read one through, with all its bytes.")
    ] = False,
    backup: Id = None,
    data: Data = None,
) -> None:
    """Copy the database and the bytes that it names, of one moment, while everything goes on.

    Of the bytes only those are copied that no earlier backup in the folder has. Protect the
    folder like the database.
    """
    if verify:
        _refuse("--keep and --data mean nothing beside --verify", keep, data)
        words = ("verify-backup", str(target), *_option("--backup", backup))
        raise typer.Exit(run_admin(*words, env=os.environ))
    _refuse("--backup means something only beside --verify", backup)
    admin("backup", str(target), *_option("--keep", keep), data=data)


@app.command()
def restore(
    source: Annotated[
        Path, typer.Argument(parser=folder, metavar="FOLDER", help="A folder of backups.")
    ],
    *,
    backup: Id = None,
    keep_revision: Annotated[
        bool, typer.Option(help="Leave the schema as it was; else it is brought to the newest.")
    ] = False,
    take_place: Annotated[
        bool,
        typer.Option("--take-place", help="LURE_BLOBS was the lost database's: take it for this."),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="A new folder for `lure up`, which must not run; else LURE_* settings."),
    ] = None,
) -> None:
    """Fill an empty database from a backup, and put its bytes; begin again if it is interrupted."""
    words = ["restore", str(source), *_option("--backup", backup)]
    if keep_revision:
        words.append("--keep-revision")
    if take_place:
        words.append("--take-place")
    if data is None:
        admin(*words)
    with _servers(data.absolute()) as env:
        raise typer.Exit(run_admin(*words, env=env))


@contextmanager
def _servers(data: Path) -> Iterator[dict[str, str]]:
    """PostgreSQL and Redis of an embedded stack, without its processes; the settings for them."""
    logs = data / "logs"
    postgres = Postgres(data / "postgres", log=logs / "postgres.log")
    redis = Redis(data / "redis", log=logs / "redis.log")
    with lock.held(data), postgres, redis:
        yield _quiet(layout.environment(data, postgres.url, redis.url))


def _refuse(why: str, *values: object) -> None:
    """An option that would be passed over in silence is a mistake."""
    if any(value is not None for value in values):
        raise typer.BadParameter(why)


def _option(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (name, str(value))


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
    if not _answers(Postgres(data / "postgres").sockets / ".s.PGSQL.5432"):
        raise EmbeddedError(f"no `lure up --data {data}` of this user is running")
    return _would_be(data)


def _would_be(data: Path) -> dict[str, str]:
    """The same, whether it runs or not: where its servers listen is known from the folder."""
    postgres, redis = Postgres(data / "postgres"), Redis(data / "redis")
    return _quiet(layout.environment(data, postgres.url, redis.url))


def _quiet(env: dict[str, str]) -> dict[str, str]:
    """Lines for a person, unless it is said otherwise."""
    return {"LURE_LOG_JSON": "false", **env}


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(2.0)
        try:
            link.connect(str(path))
        except OSError:
            return False
    return True
