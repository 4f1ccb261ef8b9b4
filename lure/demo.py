"""`make demo`: the whole loop on real handwritten digits, in about a minute.

Six chunks go in over HTTP; after each a better model answers over HTTP, while a second client
keeps asking. A version that the gate refuses is learned and not served, as it should be: its row
says so. Exit code 0 when everything held, 1 otherwise.

This module needs scikit-learn for its data, see `lure.digits`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import typer

from lure import digits, proc, render, shapes
from lure.asker import Asker
from lure.client import SETTLED, Client
from lure.embedded import Stack
from lure.errors import EmbeddedError, LureError
from lure.waiting import until

STREAM = "digits"
CHUNKS = 6
UNSEEN = 200
ENOUGH_ACCURACY = 0.96
ENOUGH_PREDICTIONS = 300
CHUNK_S, SWAP_S, SWAP_POLL_S, ASK_S, GONE_S = 120.0, 15.0, 0.05, 60.0, 5.0
COLUMNS = ("chunk", "images", "prequential", "judge", "version", "learning s", "to served s")


class Failed(Exception):
    """Something that must hold did not."""


def main() -> None:
    """Runs the demo; the data folder is kept when it fails."""
    folder = Path(tempfile.mkdtemp(prefix="lure-demo-"))
    try:
        line = run(folder)
    except (Failed, LureError, EmbeddedError) as error:
        typer.echo(f"demo: failed: {error}\ndemo: the logs are in {folder / 'data' / 'logs'}")
        sys.exit(1)
    shutil.rmtree(folder)
    typer.echo(line)


def run(folder: Path) -> str:
    """The demo; its last line.

    Raises:
        Failed: what must hold did not; or LureError, EmbeddedError.
    """
    everything = digits.load()
    unseen, rest = everything.part(0, UNSEEN), everything.part(UNSEEN, len(everything))
    with Stack(folder / "data", say=_say) as stack, Client(stack.url) as client:
        _say(f"ready at {stack.url}")
        client.create_stream(STREAM, **digits.SETTINGS)
        rows = [_learn(client, _chunk(rest, 0, folder))]
        with Asker(stack.url, STREAM, unseen.pngs()) as asker:
            for number in range(1, CHUNKS):
                rows.append(_learn(client, _chunk(rest, number, folder)))
            render.table("digits, chunk by chunk", COLUMNS, rows)
            accuracy = _unseen_accuracy(client, unseen)
            _back_and_forth(client, unseen.pngs()[:1])
            asker.wait_for(ENOUGH_PREDICTIONS, timeout_s=ASK_S)
        versions = len(client.versions(STREAM)["items"])
        family = [one for child in stack.children.values() for one in child.family()]
    _nothing_left(family, stack)
    return _verdict(asker, len(rows), versions, accuracy)


def _chunk(rest: digits.Digits, number: int, folder: Path) -> Path:
    """One of six equal parts; every other one as .npz."""
    start, stop = (len(rest) * edge // CHUNKS for edge in (number, number + 1))
    ending = "zip" if number % 2 == 0 else "npz"
    return digits.write(rest.part(start, stop), folder / f"chunk-{number + 1}.{ending}")


def _learn(client: Client, path: Path) -> Sequence[object]:
    """Sends a chunk and waits until its version is served or refused; its row of the table."""
    sent = client.upload(STREAM, path)

    def settled(chunk: shapes.Chunk) -> bool:
        if chunk["state"] != "learned":
            return chunk["state"] in SETTLED
        return chunk["served_at"] is not None or _refusal(client, chunk) is not None

    chunk = client.wait_for_chunk(STREAM, sent["id"], done=settled, timeout_s=CHUNK_S)
    number, cycle_id = chunk["version"], chunk["cycle"]
    if chunk["state"] != "learned" or number is None or cycle_id is None:
        raise Failed(f"chunk {chunk['position']} is {chunk['state']}: {path.name}")
    version, cycle = client.version(STREAM, number), client.cycle(STREAM, cycle_id)
    served_at = chunk["served_at"]
    if served_at is None:
        _say(f"chunk {chunk['position']}: version {number} is refused: {_refusal(client, chunk)}")
    row = (
        chunk["position"],
        chunk["images"],
        chunk["prequential_accuracy"],
        version["metrics"]["accuracy"],
        number,
        f"{sum(cycle['timings'].values()):.2f}",
        f"{_seconds(chunk['received_at'], served_at):.2f}" if served_at else "refused",
    )
    _say(f"chunk {row[0]}: version {number}, judge accuracy {render.cell(row[3])}")
    return row


def _refusal(client: Client, chunk: shapes.Chunk) -> str | None:
    """Why the gate did not promote a learned chunk's version; None if it did."""
    assert chunk["cycle"] is not None
    verdict = client.cycle(STREAM, chunk["cycle"])["verdict"]
    return verdict["reason"] if verdict is not None and not verdict["promoted"] else None


def _unseen_accuracy(client: Client, unseen: digits.Digits) -> float:
    labels = [one["label"] for one in client.predict(STREAM, unseen.pngs())["predictions"]]
    accuracy = digits.correct(labels, unseen) / len(unseen)
    _say(f"{len(unseen)} unseen digits: accuracy {accuracy:.4f}")
    return accuracy


def _back_and_forth(client: Client, image: list[bytes]) -> None:
    """One champion back, and forward again."""
    champion = client.alias(STREAM)["version"]
    assert champion is not None
    before = client.rollback(STREAM, reason="demo")["version"]
    _answers_with(client, image, before)
    client.move_alias(STREAM, champion, reason="demo")
    _answers_with(client, image, champion)
    if client.release(STREAM)["hold"]:
        raise Failed("promotion is still on hold after its release")
    _say(f"rolled back to version {before} and forward again to version {champion}")


def _answers_with(client: Client, image: list[bytes], version: int | None) -> None:
    def swapped() -> bool:
        return client.predict(STREAM, image)["model_version"] == version

    if not until(swapped, timeout_s=SWAP_S, poll_s=SWAP_POLL_S):
        raise Failed(f"version {version} is not served after {SWAP_S:.0f} s")


def _nothing_left(family: Sequence[proc.Entry], stack: Stack) -> None:
    if not until(lambda: not any(map(proc.alive, family)) and not stack.left(), timeout_s=GONE_S):
        raise Failed("processes are left after the stop")
    _say("stopped; no process is left")


def _verdict(asker: Asker, chunks: int, versions: int, accuracy: float) -> str:
    line = (
        f"demo: {chunks} chunks learned, {versions} versions, {asker.asked} predictions,"
        f" {asker.failed} failed, unseen accuracy {accuracy:.2f}"
    )
    enough = asker.asked >= ENOUGH_PREDICTIONS and accuracy >= ENOUGH_ACCURACY
    if asker.failed or not enough or (chunks, versions) != (CHUNKS, CHUNKS):
        raise Failed(f"{line}\n{dict(asker.failures)}")
    return line


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _say(line: str) -> None:
    typer.echo(f"demo: {line}")


if __name__ == "__main__":
    main()
