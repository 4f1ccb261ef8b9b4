"""`lure alias`: names that point at versions."""

from __future__ import annotations

from typing import Annotated

import typer

from lure import render
from lure.commands.options import AsJson, Reason, Stream, Url, Version, connect

app = typer.Typer()
names = typer.Typer(help="Names that point at versions: list, set, delete, history.")
app.add_typer(names, name="alias", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The alias.")]


@names.command("list")
def list_(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """List a stream's aliases."""
    with connect(url) as client:
        page = client.aliases(stream)
    render.document(page) if as_json else render.aliases(stream, page["items"])


@names.command("set")
def set_(
    stream: Stream,
    alias: Name,
    version: Version,
    *,
    reason: Reason = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version; make it where there is none of that name."""
    with connect(url) as client:
        moved = client.move_alias(stream, version, alias=alias, reason=reason)
    if as_json:
        render.document(moved)
    else:
        typer.echo(f"{stream}: {alias} is version {moved['version']}")


@names.command()
def delete(stream: Stream, alias: Name, *, reason: Reason = "", url: Url = None) -> None:
    """Delete an alias of one's own; its history stays."""
    with connect(url) as client:
        client.delete_alias(stream, alias, reason=reason)
    typer.echo(f"{stream}: there is no {alias} any more")


@names.command()
def history(
    stream: Stream,
    alias: Annotated[str, typer.Argument(help="The alias.")] = "champion",
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show every move of an alias, newest first: when, who and why."""
    with connect(url) as client:
        page = client.alias_history(stream, alias)
    render.document(page) if as_json else render.moves(stream, alias, page["items"])
