"""Labels that come after the prediction."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from lure import render
from lure.commands.options import AsJson, Stream, Url, connect, say

app = typer.Typer()

_COLUMNS = ["prediction_id", "label"]


@app.command()
def feedback(
    stream: Stream,
    labels: Annotated[list[str] | None, typer.Argument(help="PREDICTION_ID=LABEL.")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="A CSV file with columns prediction_id and label.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say what predictions should have been; exits with 1 if a label is refused."""
    given = [_pair(text) for text in labels or ()]
    given += [] if file is None else _read(file)
    if not given:
        raise typer.BadParameter("give PREDICTION_ID=LABEL, or --file")
    with connect(url) as client:
        outcomes = client.feedback(stream, given)
    refused = [item for item in outcomes if item["outcome"] == "refused"]
    if as_json:
        render.document({"items": outcomes})
    else:
        counts = Counter(item["outcome"] for item in outcomes)
        typer.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
        for item in refused:
            say(f"{item['prediction_id']}: {item['detail']}")
    if refused:
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, str]:
    prediction_id, equals, label = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} should be PREDICTION_ID=LABEL")
    return prediction_id, label


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            return [(row[_COLUMNS[0]], row[_COLUMNS[1]]) for row in rows]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        words = f"{path}: cannot be read as CSV with columns {' and '.join(_COLUMNS)}: {error}"
        raise typer.BadParameter(words) from error
