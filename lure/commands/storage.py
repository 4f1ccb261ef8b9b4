"""`lure adopt`, `gc` and `fsck`: whose the blobs are, and whether they should be there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lure.commands.operating import Data, admin

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def adopt(*, data: Data = None) -> None:
    """Take the place that LURE_BLOBS names for this database alone.

    A place is of the first database that puts bytes there, and others are refused. This is for a
    place whose database is lost, or a new one after the old place was lost.
    """
    admin("adopt", data=data)


@app.command()
def gc(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted; delete nothing.")
    ] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Delete the bytes that nobody names any more, as the workers do every minute."""
    if as_json and not dry_run:
        raise typer.BadParameter("--json tells what would be deleted, so only with --dry-run")
    admin("gc", *_flags(dry_run=dry_run, json=as_json), data=data)


@app.command()
def fsck(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only whether bytes are there, of their size.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A backup's folder: brings lost bytes back, changes no row."),
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Look whether every row has its bytes and all bytes their row; exits with 1 if not.

    Runs beside everything else. Without --quick every byte that a row names is read.
    """
    words = ["fsck", *_flags(quick=quick, repair=repair, json=as_json)]
    if source is not None:
        words += ["--from", str(source.absolute())]
    admin(*words, data=data)


def _flags(**wanted: bool) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, is_wanted in wanted.items() if is_wanted]
