"""Streams: making them, and how they are doing."""

from __future__ import annotations

import json
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
        render.replicas(found["replicas"])
        render.chunks(stream, client.chunks(stream)["items"][:NEWEST])
        render.running(client.cycles(stream)["items"][:NEWEST])
        for newest in client.versions(stream)["items"][:1]:
            render.judged(newest)


@app.command("set")
def set_(
    stream: Stream,
    settings: Annotated[
        list[str], typer.Argument(help="recipe.epochs=20, policies.gate.mode=manual, …")
    ],
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change a stream's recipe or policies; a cycle that has begun keeps what it began with.

    null is the default again, or no value where there may be none: policies.gate.per_class=null.
    """
    with connect(url) as client:
        changed = client.change_stream(stream, _patch(settings))
    if as_json:
        render.document(changed)
        return
    for given in settings:
        path = given.partition("=")[0]
        typer.echo(f"{stream}: {path} is {json.dumps(_at(changed, path))}")


def _patch(settings: list[str]) -> dict[str, Any]:
    """`a.b.c=1` as {"a": {"b": {"c": 1}}}, all in one."""
    patch: dict[str, Any] = {}
    for given in settings:
        path, value = setting(given)
        *folders, name = path.split(".")
        inner = patch
        for folder in folders:
            inner = inner.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise typer.BadParameter(f"{given!r}: {folder} has a value already")
        inner[name] = value
    return patch


def _at(document: Any, path: str) -> Any:
    """What stands there in the answer; a recipe's name does not."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


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
