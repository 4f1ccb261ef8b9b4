"""What goes in and what comes out: chunks and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lure import push, render
from lure.commands.options import AsJson, Stream, Url, connect

app = typer.Typer()


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
def chunks(stream: Stream, *, url: Url = None, as_json: AsJson = False) -> None:
    """List a stream's chunks, newest first."""
    with connect(url) as client:
        page = client.chunks(stream)
    render.document(page) if as_json else render.chunks(stream, page["items"])


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
