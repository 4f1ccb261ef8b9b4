"""`lure keys` and `lure audit`: who may do what, and what was done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from lure import render
from lure.commands.operating import Data, admin
from lure.commands.options import AsJson, Url, connect, say
from lure.errors import LureError

SECRETS_DIR = "LURE_SECRETS_DIR"
BOOTSTRAP = "lure_bootstrap_key"
_TEXT = "lure_"  # how the text of a key begins; its id is `key_…`
_OTHERWISE = "an administrator makes keys with `lure keys create`, the first one `lure keys first`"
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

app = typer.Typer()
keys = typer.Typer(help="API keys: create, list, revoke, bootstrap.")
app.add_typer(keys, name="keys", no_args_is_help=True)

Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="ingest, predict, read, metrics, admin; may be repeated."),
]


@keys.command()
def create(  # noqa: PLR0913 -- each is an option
    name: Annotated[str, typer.Argument(help="Who acts with it.")],
    *,
    scope: Scopes = None,
    stream: Annotated[str | None, typer.Option(help="The only stream that it opens.")] = None,
    expires: Annotated[str | None, typer.Option(help="In 12h, 90d or 4w; else never.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, help="Requests in a minute.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its text, this once; its scope is predict unless said."""
    with connect(url) as client:
        made = client.create_key(
            name,
            scope or ["predict"],
            stream=stream,
            expires_at=_until(expires) if expires else None,
            requests_per_minute=rate,
        )
    if as_json:
        render.document(made)
        return
    say(f"key {made['id']} for {name}: {', '.join(made['scopes'])}; it is shown this once")
    typer.echo(made["key"])


@keys.command()
def first(
    name: Annotated[str, typer.Argument(help="Who acts with it.")] = "admin", *, data: Data = None
) -> None:
    """Make an administrator's key beside the service, and print its text, this once.

    A service that others can reach does not start before there is one; and who has lost the last
    one comes in again.
    """
    admin("create-key", name, data=data)


@keys.command("list")
def list_(*, url: Url = None, as_json: AsJson = False) -> None:
    """List the keys, revoked ones too; never their texts."""
    with connect(url) as client:
        page = client.keys()
    render.document(page) if as_json else _table(page["items"])


@keys.command()
def revoke(key: Annotated[str, typer.Argument(help="The key's id.")], *, url: Url = None) -> None:
    """End a key for good."""
    if key.startswith(_TEXT):  # it would stand in the path, and in the logs on the way
        raise typer.BadParameter("name the key's id (key_…, from `lure keys list`), not its text")
    with connect(url) as client:
        ended = client.revoke_key(key)
    typer.echo(f"{ended['id']} ({ended['name']}) opens nothing any more")


@keys.command()
def bootstrap() -> None:
    """Print the first administrator's key of a stack that was made with one."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        raise LureError(
            "no key lies here",
            detail=f"{SECRETS_DIR} names the folder of a stack's secrets, and is not set;"
            " in a container: docker compose exec api lure keys bootstrap",
        )
    path = Path(folder) / BOOTSTRAP
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or "it is no text"
        raise LureError(f"{path} cannot be read: {words}", detail=_OTHERWISE) from error
    if not text:
        raise LureError(f"{path} is empty", detail=_OTHERWISE)
    typer.echo(text)


@app.command()
def audit(
    stream: Annotated[str | None, typer.Argument(help="One stream; otherwise all.")] = None,
    *,
    newest: Annotated[int, typer.Option(min=1, max=500, help="So many entries.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what was changed, and what was refused to a known key, newest first."""
    with connect(url) as client:
        page = client.audit(stream=stream, page_size=newest)
    render.document(page) if as_json else _entries(page["items"])


def _until(text: str) -> datetime:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} should be a number and h, d or w, such as 90d")
    return datetime.now(UTC) + int(found[1]) * _UNITS[found[2]]


def _table(items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("id", "name", "key", "scopes", "stream", "rate", "last used", "until")
    rows = (
        (
            one["id"],
            one["name"],
            f"{one['hint']}…",
            one["scopes"],
            one["stream"],
            one["requests_per_minute"],
            one["last_used_at"],
            "revoked" if one["revoked_at"] else one["expires_at"],
        )
        for one in items
    )
    render.table("keys", columns, rows)


def _entries(items: Iterable[Mapping[str, Any]]) -> None:
    columns = ("at", "who", "action", "target", "status", "address")
    render.table("audit", columns, ([one[name] for name in columns] for one in items))
