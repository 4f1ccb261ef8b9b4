"""How a stream is doing over its versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lure import figures, render
from lure.commands.options import AsJson, Stream, Url, Version, connect
from lure.writing import write

app = typer.Typer()

Last = Annotated[int, typer.Option(min=1, max=1000, help="Show so many of the newest versions.")]


@app.command()
def metrics(stream: Stream, *, last: Last = 20, url: Url = None, as_json: AsJson = False) -> None:
    """Show accuracy after every chunk, what it cost, and whether unlearning was worth it."""
    with connect(url) as client:
        found = client.metrics(stream, limit=last)
    render.document(found) if as_json else figures.metrics(stream, found)


@app.command()
def lineage(
    stream: Stream,
    *,
    format: Annotated[
        Literal["text", "mermaid", "dot"], typer.Option(help="How it is drawn.")
    ] = "text",
    last: Last = 100,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show which version came of which."""
    if as_json and format != "text":
        raise typer.BadParameter(f"--json and --format {format}: one of them")
    with connect(url) as client:
        if format != "text":
            typer.echo(client.drawn_lineage(stream, drawing=format, limit=last), nl=False)
            return
        found = client.lineage(stream, limit=last)
    render.document(found) if as_json else figures.lineage(stream, found)


@app.command()
def unlearning(
    stream: Stream,
    version: Version,
    *,
    svg: Annotated[Path | None, typer.Option(help="Write the picture here.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Write the mask's packed bits here.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how much of each layer a version kept of its parent."""
    files: dict[Path, bytes] = {}
    with connect(url) as client:
        found = client.unlearning(stream, version)
        if svg is not None:
            files[svg] = client.unlearning_picture(stream, version)
        if mask is not None:
            files[mask] = client.unlearning_mask(stream, version)
    for path, content in files.items():
        write(path, content)
    render.document(found) if as_json else figures.unlearning(stream, found)
