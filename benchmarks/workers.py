"""Chunks a minute of two streams with one learn worker, and with two.

    python -m benchmarks.workers [--chunks 4] [--repeats 2]

Real processes on one machine: PostgreSQL, Redis, the API, an admit worker, one or two learn
workers. Each stream gets so many chunks of 150 digits at once; from the first cycle's start to the
last one's end by the database's clock. A first chunk in each stream, which the workers need to get
going, does not count. One and two workers take turns.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
from pathlib import Path
from typing import Any

from lure.servers import Postgres
from tests.acceptance.world import Api, World

RECIPE = {"epochs": 8, "learn_epochs": 8, "batch_size": 64, "precision": "fp32"}
STREAMS = 2
IMAGES = 150


def main() -> None:
    options = parse()
    found: dict[int, list[float]] = {1: [], 2: []}
    with (
        tempfile.TemporaryDirectory(prefix="lure-workers-") as name,
        Postgres(Path(name) / "postgres") as postgres,
    ):
        for _ in range(options.repeats):
            for workers, seconds in found.items():
                seconds.append(measure(postgres, Path(name), workers, options.chunks))
    report(found, STREAMS * options.chunks)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args()


def measure(postgres: Postgres, folder: Path, workers: int, chunks: int) -> float:
    """Seconds from the start of the first cycle that counts to the end of the last."""
    world = World(postgres, folder)
    world.patience_s = 600
    try:
        world.admit()
        for _ in range(workers):
            world.learn()
        world.beat()
        api = world.api()
        streams = [api.create_stream(recipe=RECIPE) for _ in range(STREAMS)]
        learn(api, streams, [0])
        learn(api, streams, [150 * number for number in range(1, chunks + 1)])
        cycles = [cycle for stream in streams for cycle in counted(api, stream, chunks)]
    finally:
        world.close()
    began = min(dt.datetime.fromisoformat(cycle["started_at"]) for cycle in cycles)
    ended = max(dt.datetime.fromisoformat(cycle["finished_at"]) for cycle in cycles)
    return (ended - began).total_seconds()


def learn(api: Api, streams: list[str], firsts: list[int]) -> None:
    pushed = [
        (stream, api.push_digits(stream, first, IMAGES)) for first in firsts for stream in streams
    ]
    for stream, chunk in pushed:
        api.wait_learned(stream, chunk)


def counted(api: Api, stream: str, chunks: int) -> list[dict[str, Any]]:
    """The stream's last cycles: newest first is how the API tells them."""
    items: list[dict[str, Any]] = api.client.cycles(stream)["items"]
    return items[:chunks]


def report(found: dict[int, list[float]], chunks: int) -> None:
    print("| learn workers | seconds | chunks a minute | ratio |")
    print("| --- | --- | --- | --- |")
    base = statistics.median(found[1])
    for workers, seconds in found.items():
        median = statistics.median(seconds)
        rate = 60 * chunks / median
        print(f"| {workers} | {median:.1f} | {rate:.1f} | **{base / median:.2f}** |")


if __name__ == "__main__":
    main()
