"""Streams: making them, and how they are doing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lure import render
from lure.commands.options import AsJson, Stream, Url, connect, setting

NEWEST = 10

app = typer.Typer()


@app.command()
def create(  # noqa: PLR0913 -- each is an option
    stream: Stream,
    *,
    architecture: Annotated[str | None, typer.Option(help="resnet18, resnet20s, …")] = None,
    classes: Annotated[
        str | None, typer.Option(help="a,b,c in this order; or open: new ones may come.")
    ] = None,
    shape: Annotated[str | None, typer.Option("--input", help="1x8x8, channels first.")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe's name, or epochs=20; may be repeated.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="unlearn.strategy=fire; may be repeated.")
    ] = None,
    url: Url = None,
) -> None:
    """Make a stream; what is not given is taken from the defaults and from its first chunk."""
    settings: dict[str, Any] = {
        "architecture": architecture,
        "classes": _classes(classes) if classes else None,
        "input": _input(shape) if shape else None,
        "recipe": _recipe(recipe) if recipe else None,
        "policies": _policies(policy) if policy else None,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    with connect(url) as client:
        made = client.create_stream(stream, **given)
    typer.echo(f"{made['name']}: made, {made['architecture']}")


@app.command()
def streams(*, url: Url = None, as_json: AsJson = False) -> None:
    """List the streams."""
    with connect(url) as client:
        page = client.streams()
    render.document(page) if as_json else render.streams(page["items"])


@app.command()
def status(
    stream: Annotated[str | None, typer.Argument(help="One stream; otherwise all.")] = None,
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how the streams, or one stream with its newest chunks, are doing."""
    if stream is None:
        streams(url=url, as_json=as_json)
        return
    with connect(url) as client:
        found = client.stream(stream)
        if as_json:
            render.document(found)
            return
        render.streams([found])
        render.chunks(stream, client.chunks(stream)["items"][:NEWEST])
        render.running(client.cycles(stream)["items"][:NEWEST])


def _classes(text: str) -> list[str] | str:
    return text if text == "open" else text.split(",")


def _recipe(given: list[str]) -> dict[str, Any]:
    """Settings, one of which may be a bare name: that of a recipe which the others overrule."""
    return dict(setting(one) if "=" in one else ("name", one) for one in given)


def _policies(given: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in given:
        path, value = setting(one)
        policy, dot, name = path.partition(".")
        if not dot:
            raise typer.BadParameter(f"{one!r} should be POLICY.NAME=VALUE")
        found.setdefault(policy, {})[name] = value
    return found


def _input(text: str) -> dict[str, int]:
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise typer.BadParameter(f"{text!r} should be CHANNELSxHEIGHTxWIDTH")
    return dict(zip(("channels", "height", "width"), map(int, parts), strict=True))
