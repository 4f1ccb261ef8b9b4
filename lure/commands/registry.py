"""Versions, and which of them is served."""

from __future__ import annotations

from typing import Annotated

import typer

from lure import render, shapes
from lure.commands.options import AsJson, Reason, Stream, Url, Version, connect

app = typer.Typer()


@app.command()
def versions(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """List a stream's versions, newest first."""
    with connect(url) as client:
        page = client.versions(stream)
    render.document(page) if as_json else render.versions(stream, page["items"])


@app.command()
def promote(
    stream: Stream,
    version: Version,
    *,
    reason: Reason = "",
    hold: Annotated[
        bool, typer.Option(help="Bar automatic promotion until `lure release`.")
    ] = True,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Serve this version by default, also one that waits for a person or that the gate refused."""
    with connect(url) as client:
        alias = client.move_alias(stream, version, reason=reason, hold=hold)
    render.document(alias) if as_json else typer.echo(_championed(stream, alias))


@app.command()
def rollback(
    stream: Stream,
    *,
    reason: Reason = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Serve the champion before this one, and hold automatic promotion."""
    with connect(url) as client:
        alias = client.rollback(stream, reason=reason)
    render.document(alias) if as_json else typer.echo(_championed(stream, alias))


@app.command()
def release(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """Let new versions be promoted again."""
    with connect(url) as client:
        alias = client.release(stream)
    if as_json:
        render.document(alias)
        return
    typer.echo(f"{stream}: promotion is automatic again; champion is version {alias['version']}")


@app.command("delete-weights")
def delete_weights(stream: Stream, version: Version, *, url: Url = None) -> None:
    """Delete a version's weights; refused while something needs them. The record stays."""
    with connect(url) as client:
        client.delete_weights(stream, version)
    typer.echo(f"{stream}: version {version} is a record without weights")


def _championed(stream: str, alias: shapes.Alias) -> str:
    hold = f"; promotion is on hold until: lure release {stream}" if alias["hold"] else ""
    return f"{stream}: champion is version {alias['version']}{hold}"
