"""The `lure` command.

Exit codes: 0 done, 1 refused or failed, 2 a mistake on the command line, 3 no answer from the
service, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lure import embedded, push, render, voice
from lure.client import DEFAULT_URL, Client
from lure.errors import EmbeddedError, LureError, Unreachable

FAILED, UNREACHABLE = 1, 3
NEWEST = 10

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UrlOption = typer.Option("--url", help=f"The service (or LURE_URL; else {DEFAULT_URL}).")
Url = Annotated[str | None, UrlOption]
AsJson = Annotated[bool, typer.Option("--json", help="The service's answer as one JSON document.")]
Stream = Annotated[str, typer.Argument(help="The stream's name.")]
Reason = Annotated[str, typer.Option(help="Why, for the alias's history.")]


@app.callback()
def root(*, url: Url = None) -> None:
    """Keeps image classifiers fresh while labelled data arrives in chunks.

    Exit codes: 0 done, 1 refused or failed, 2 a mistake on the command line, 3 no answer from the
    service, 130 interrupted.
    """
    if url is not None:
        os.environ["LURE_URL"] = url


def connect(url: str | None) -> Client:
    """A client of the service that was named on the command line or by LURE_URL."""
    return Client(url or os.environ.get("LURE_URL") or DEFAULT_URL, retries=2)


@app.command()
def up(
    *,
    data: Annotated[Path, typer.Option(help="Keeps all state.")] = Path("lure-data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8000,
    api_replicas: Annotated[
        int, typer.Option(min=1, help="Those after the first: free ports.")
    ] = 1,
    learn_workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Run the whole service on 127.0.0.1, until Ctrl-C or SIGTERM; again to interrupt at once."""
    stack = embedded.Stack(
        data, port, api_replicas=api_replicas, learn_workers=learn_workers, say=_say
    )
    raise typer.Exit(embedded.run(stack))


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


@app.command("push")
def push_(
    stream: Stream,
    paths: Annotated[list[Path], typer.Argument(help="Folders <class>/<file>, .zip, .npz.")],
    *,
    url: Url = None,
) -> None:
    """Send chunks and wait until they are learned."""
    with connect(url) as client:
        for line in push.Pushing(client, stream).run(paths):
            typer.echo(line)


@app.command()
def predict(
    stream: Stream,
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG, WebP or BMP files.")],
    *,
    version: Annotated[str | None, typer.Option(help="A number or @alias.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Classes to name for each.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Classify images."""
    with connect(url) as client:
        answer = client.predict(stream, images, version=version, top_k=top_k)
    if as_json:
        render.document(answer)
    else:
        render.predictions(answer, [str(image) for image in images])


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


@app.command()
def versions(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """List a stream's versions, newest first."""
    with connect(url) as client:
        page = client.versions(stream)
    render.document(page) if as_json else render.versions(stream, page["items"])


@app.command()
def chunks(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """List a stream's chunks, newest first."""
    with connect(url) as client:
        page = client.chunks(stream)
    render.document(page) if as_json else render.chunks(stream, page["items"])


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


def main() -> None:
    """Runs the command; errors go to stderr, in words."""
    try:
        app()
    except Unreachable as error:
        _say(f"{error} (is `lure up` running? --url or LURE_URL names the service)")
        sys.exit(UNREACHABLE)
    except (LureError, EmbeddedError) as error:
        _say(str(error))
        sys.exit(FAILED)


def _say(line: str) -> None:
    voice.tell(f"lure: {line}", sys.stderr)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} should be NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _classes(text: str) -> list[str] | str:
    return text if text == "open" else text.split(",")


def _recipe(given: list[str]) -> dict[str, Any]:
    """Settings, one of which may be a bare name: that of a recipe which the others overrule."""
    return dict(_setting(one) if "=" in one else ("name", one) for one in given)


def _policies(given: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in given:
        path, value = _setting(one)
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
