"""`make smoke`: does the service at LURE_URL learn, answer, roll back and tell its figures?"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from pathlib import Path

import typer

from lure import digits, firstkey
from lure.client import DEFAULT_URL, Client
from lure.errors import LureError
from lure.waiting import until

CHUNK_IMAGES = 400
UNSEEN = 100
CHUNK_S, SWAP_S, READY_S = 600.0, 60.0, 60.0
ENOUGH_ACCURACY = 0.8
FIGURES = (  # with the stream's name and what it must be by then; None: anything
    ('lure_champion_version{stream="%s"}', 1.0),
    ('lure_predictions_total{stream="%s",version="2"}', None),
)


def main() -> None:
    """Runs it; exit code 1 with the reason when something is wrong."""
    url = os.environ.get("LURE_URL") or DEFAULT_URL
    try:
        check(url)
    except LureError as error:
        typer.echo(f"smoke: failed: {error}", err=True)
        sys.exit(1)
    typer.echo("smoke: ok")


def check(url: str) -> None:
    """The whole of it, with the key that is at hand.

    Raises:
        LureError: something was refused or is not as it must be.
    """
    with Client(url) as client:
        _must(until(client.ready, timeout_s=READY_S, poll_s=0.5), f"{url} is not ready")
    key = firstkey.find(url)
    with (
        tempfile.TemporaryDirectory(prefix="lure-smoke-") as folder,
        Client(url, api_key=key) as client,
    ):
        run(client, Path(folder))


def run(client: Client, folder: Path) -> None:
    """Two chunks, two versions, predictions, a rollback, figures.

    Raises:
        LureError: something was refused or is not as it must be.
    """
    stream = f"smoke-{uuid.uuid4().hex[:12]}"
    everything = digits.load()
    client.create_stream(stream, **digits.SETTINGS)
    for number in range(2):
        start = UNSEEN + number * CHUNK_IMAGES
        part = everything.part(start, start + CHUNK_IMAGES)
        path = digits.write(part, folder / f"chunk-{number + 1}.zip")
        sent = client.upload(stream, path)
        chunk = client.wait_for_chunk(stream, sent["id"], timeout_s=CHUNK_S)
        _must(chunk["version"] == number + 1, f"chunk {number + 1} is {chunk['state']}")
        typer.echo(f"smoke: {stream}: chunk {number + 1} learned, version {chunk['version']}")
    _must(len(client.versions(stream)["items"]) == 2, "there are not two versions")
    _await_version(client, stream, 2, everything.part(0, 1))
    _predicts_well(client, stream, everything.part(0, UNSEEN))
    _must(client.rollback(stream, reason="smoke")["version"] == 1, "no rollback to version 1")
    _await_version(client, stream, 1, everything.part(0, 1))
    typer.echo(f"smoke: {stream}: rolled back to version 1")
    for figure, wanted in FIGURES:
        _await_figure(client, figure % stream, wanted)
    typer.echo(f"smoke: {stream}: /metrics tells of it")


def _predicts_well(client: Client, stream: str, unseen: digits.Digits) -> None:
    answer = client.predict(stream, unseen.pngs())
    labels = [one["label"] for one in answer["predictions"]]
    accuracy = digits.correct(labels, unseen) / len(unseen)
    typer.echo(f"smoke: {stream}: {len(unseen)} unseen digits, accuracy {accuracy:.2f}")
    _must(accuracy >= ENOUGH_ACCURACY, f"accuracy is only {accuracy:.2f}")


def _await_version(client: Client, stream: str, version: int, one: digits.Digits) -> None:
    def served() -> bool:
        return client.predict(stream, one.pngs())["model_version"] == version

    _must(until(served, timeout_s=SWAP_S, poll_s=0.2), f"version {version} is not served")


def _await_figure(client: Client, figure: str, wanted: float | None) -> None:
    def told() -> bool:
        found = _figures(client).get(figure)
        return found is not None and wanted in (None, found)

    what = figure if wanted is None else f"{figure} {wanted:g}"
    _must(until(told, timeout_s=SWAP_S, poll_s=0.5), f"/metrics does not tell {what}")


def _figures(client: Client) -> dict[str, float]:
    text = client.http.answer(lambda: client.http.client.build_request("GET", "/metrics")).text
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def _must(held: bool, otherwise: str) -> None:
    if not held:
        raise LureError(otherwise)


if __name__ == "__main__":
    main()
