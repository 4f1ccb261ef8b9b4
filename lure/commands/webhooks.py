"""`lure webhooks`: who is told of events."""

from __future__ import annotations

from typing import Annotated

import typer

from lure import render
from lure.commands.options import AsJson, Url, connect, say

app = typer.Typer()
webhooks = typer.Typer(help="Who is told of events: create, list, test, pause, resume, delete.")
app.add_typer(webhooks, name="webhooks", no_args_is_help=True)

Webhook = Annotated[str, typer.Argument(help="The webhook's id.")]


@webhooks.command()
def create(
    where: Annotated[str, typer.Argument(metavar="URL", help="Where to POST.")],
    *,
    event: Annotated[
        list[str] | None, typer.Option(help="cycle.finished, chunk.*, …; may be repeated.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="The only stream to tell of.")] = None,
    from_event: Annotated[
        int | None, typer.Option(min=0, help="Begin behind that event; else now.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have a URL called with events; prints the secret that signs them, this once."""
    with connect(url) as client:
        made = client.create_webhook(where, events=event, stream=stream, from_event=from_event)
    if as_json:
        render.document(made)
        return
    say(f"webhook {made['id']}; its secret is shown this once")
    typer.echo(made["secret"])


@webhooks.command("list")
def list_(*, url: Url = None, as_json: AsJson = False) -> None:
    """List the webhooks, and how the telling goes."""
    with connect(url) as client:
        page = client.webhooks()
    if as_json:
        render.document(page)
        return
    columns = ("id", "url", "events", "stream", "state", "delivered", "failed", "last error")
    rows = (
        (
            *(one["id"], one["url"], one["events"] or "all", one["stream"] or "all"),
            "paused" if one["paused"] else "failing" if one["failures"] else "active",
            *(one["delivered"], one["failed"], one["last_error"]),
        )
        for one in page["items"]
    )
    render.table("webhooks", columns, rows)


@webhooks.command("test")
def try_(webhook: Webhook, *, url: Url = None, as_json: AsJson = False) -> None:
    """Have a worker call it once; exits with 1 if that is not taken."""
    with connect(url) as client:
        outcome = client.try_webhook(webhook)["test"] or {}
    if as_json:
        render.document(outcome)
    elif outcome.get("at") is None:
        say(f"{webhook}: no worker has called it yet; is one of the queue admit running?")
    elif outcome["error"] is not None:
        say(f"{webhook}: {outcome['error']}")
    else:
        typer.echo(f"{webhook}: taken with {outcome['status']}")
    if outcome.get("at") is None or outcome["error"] is not None:
        raise typer.Exit(1)


@webhooks.command()
def pause(webhook: Webhook, *, url: Url = None) -> None:
    """Tell nothing for now; nothing is lost."""
    with connect(url) as client:
        client.pause_webhook(webhook, paused=True)
    typer.echo(f"{webhook}: paused")


@webhooks.command()
def resume(webhook: Webhook, *, url: Url = None) -> None:
    """Go on where it stopped."""
    with connect(url) as client:
        changed = client.pause_webhook(webhook, paused=False)
    typer.echo(f"{webhook}: goes on behind event {changed['after_event']}")


@webhooks.command()
def delete(webhook: Webhook, *, url: Url = None) -> None:
    """Delete a webhook."""
    with connect(url) as client:
        client.delete_webhook(webhook)
    typer.echo(f"{webhook}: deleted")
