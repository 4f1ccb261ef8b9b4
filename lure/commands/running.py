"""`lure up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lure import embedded
from lure.commands.options import say

app = typer.Typer()


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
        data, port, api_replicas=api_replicas, learn_workers=learn_workers, say=say
    )
    raise typer.Exit(embedded.run(stack))
