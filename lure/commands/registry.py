"""Versions and the names that point at them."""

from __future__ import annotations

import typer

from lure import render
from lure.commands.options import AsJson, Reason, Stream, Url, connect

app = typer.Typer()


@app.command()
def versions(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """List a stream's versions, newest first."""
    with connect(url) as client:
        page = client.versions(stream)
    render.document(page) if as_json else render.versions(stream, page["items"])


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
    if as_json:
        render.document(alias)
        return
    hold = f"; promotion is on hold until: lure release {stream}" if alias["hold"] else ""
    typer.echo(f"{stream}: champion is version {alias['version']}{hold}")


@app.command()
def release(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """Let new versions be promoted again."""
    with connect(url) as client:
        alias = client.release(stream)
    if as_json:
        render.document(alias)
        return
    typer.echo(f"{stream}: promotion is automatic again; champion is version {alias['version']}")
