"""How long after a chunk is accepted does a model that learned it answer?

    python benchmarks/freshness.py [--chunks 10] [--json]

The embedded service on this machine learns real digits, chunk after chunk. Of the seconds from
accepted to served, those of learning (prequential, unlearn, relearn, evaluate) belong to the
recipe; the rest is ours: admission, wake-ups, loading, saving, the gate, the swap of the served
model. One table, medians at its end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from lure import digits, shapes
from lure.client import Client
from lure.embedded import Stack

STREAM = "freshness"
LEARNING = ("prequential", "unlearn", "relearn", "evaluate")
CHUNK_IMAGES = 150
CHUNK_S = 300.0


@dataclass(frozen=True)
class Row:
    """Seconds of one chunk."""

    chunk: int
    accepted_to_served_s: float
    learning_s: float

    @property
    def overhead_s(self) -> float:
        return self.accepted_to_served_s - self.learning_s


def measure(chunks: int) -> list[Row]:
    """Push the chunks one after another; each row when it is served."""
    everything = digits.load()
    with tempfile.TemporaryDirectory(prefix="lure-freshness-") as name:
        folder = Path(name)
        with Stack(folder / "data") as stack, Client(stack.url) as client:
            client.create_stream(STREAM, **digits.SETTINGS)
            rows = []
            for number in range(chunks):
                start = number * CHUNK_IMAGES
                part = everything.part(start, start + CHUNK_IMAGES)
                path = digits.write(part, folder / f"{number}.zip")
                rows.append(_row(client, client.upload(STREAM, path)["id"]))
            return rows


def _row(client: Client, chunk_id: str) -> Row:
    chunk = client.wait_for_chunk(STREAM, chunk_id, done=_is_served, timeout_s=CHUNK_S)
    assert chunk["cycle"] is not None
    assert chunk["served_at"] is not None
    timings = client.cycle(STREAM, chunk["cycle"])["timings"]
    waited = datetime.fromisoformat(chunk["served_at"]) - datetime.fromisoformat(
        chunk["received_at"]
    )
    learning_s = sum(timings.get(stage, 0.0) for stage in LEARNING)
    return Row(chunk["position"], round(waited.total_seconds(), 3), round(learning_s, 3))


def _is_served(chunk: shapes.Chunk) -> bool:
    return chunk["served_at"] is not None or chunk["state"] in ("failed", "rejected")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=10, choices=range(1, 12))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    wanted = parser.parse_args()
    rows = measure(wanted.chunks)
    overhead_s = statistics.median(row.overhead_s for row in rows)
    if wanted.json:
        document = {"rows": [asdict(row) for row in rows], "median_overhead_s": overhead_s}
        json.dump(document, sys.stdout, indent=2)
        return
    print("chunk  accepted→served s  learning s  overhead s")
    for row in rows:
        print(
            f"{row.chunk:5d}  {row.accepted_to_served_s:17.2f}  {row.learning_s:10.2f}"
            f"  {row.overhead_s:10.2f}"
        )
    print(f"median overhead {overhead_s:.2f} s (aim: at most 1.5 s)")


if __name__ == "__main__":
    main()
