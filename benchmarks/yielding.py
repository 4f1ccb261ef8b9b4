"""Does anybody notice that a model is being trained? Predictions beside a cycle, and alone.

    python -m benchmarks.yielding [--rounds 5] [--seconds 8] [--nice 10] [--json]

One machine runs everything. Eight clients ask for predictions of digits while a cycle trains
resnet20s at 32 px with as many threads as it likes, and while that worker is stopped (SIGSTOP);
both take turns, and each pair gives a ratio. The cycle's epochs are read before and after each load
beside it: where none passed, nobody trained, and there is no result. `--nice 0` shows what it would
be without yielding.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import Outcome, Wanted, load
from lure import digits, proc
from lure.client import Client
from lure.embedded import Stack
from lure.waiting import until

SERVED, TRAINED = "served", "trained"
SERVED_IMAGES = 300
TRAINED_IMAGES = 40  # so few that epochs pass even in what the clients leave
CLIENTS = 8
ENDLESS = 10_000  # epochs: the cycle outlasts the measurement
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Pair:
    """Milliseconds of predictions alone and beside a training."""

    alone_p50: float
    alone_p99: float
    beside_p50: float
    beside_p99: float
    epochs: int  # that the training got through meanwhile
    failed: int

    @property
    def ratio(self) -> float:
        return self.beside_p99 / self.alone_p99


class Idle(SystemExit):
    """Nobody trained beside a load: its figures say nothing."""


def prepare(client: Client, folder: Path) -> None:
    """A version of digits that is served, and a cycle of another stream that trains."""
    images = digits.load()
    served = digits.write(images.part(0, SERVED_IMAGES), folder / "served.zip")
    trained = digits.write(images.part(0, TRAINED_IMAGES), folder / "trained.zip")
    larger = {"channels": 1, "height": 32, "width": 32}
    recipe = digits.SETTINGS["recipe"] | {"learn_epochs": ENDLESS, "batch_size": 64}
    client.create_stream(SERVED, **digits.SETTINGS)
    client.create_stream(TRAINED, **digits.SETTINGS | {"input": larger, "recipe": recipe})
    chunk = client.upload(SERVED, served)
    client.wait_for_chunk(
        SERVED, chunk["id"], done=lambda c: c["served_at"] is not None, timeout_s=PATIENCE_S
    )
    client.upload(TRAINED, trained)
    assert until(lambda: epoch(client) > 0, timeout_s=PATIENCE_S), "no cycle began to train"


def epoch(client: Client) -> int:
    """How far the training is; 0 while there is none."""
    cycles = client.cycles(TRAINED)["items"]
    return int((cycles[0]["progress"] or {}).get("epoch", 0)) if cycles else 0


def beside(client: Client, wanted: Wanted) -> tuple[Outcome, int]:
    """The load while the training goes on, and how many epochs passed.

    Raises:
        Idle: None did.
    """
    before = epoch(client)
    outcome = load(wanted)
    passed = epoch(client) - before
    if passed < 1:
        raise Idle(f"no epoch passed within {wanted.seconds:g} s: nobody trained beside this load")
    return outcome, passed


@contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    """Nobody trains meanwhile."""
    pids = [one.pid for one in proc.family(stack.children["learn"].pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def measure(rounds: int, seconds: float, niceness: int) -> list[Pair]:
    """The pairs, in one run of the service."""
    kind, image = {"Content-Type": "image/png"}, digits.load().part(0, 1).pngs()[0]
    env = {"LURE_NICE": str(niceness), "LURE_STALE_S": "3600"}  # a stopped worker is not dead
    with tempfile.TemporaryDirectory(prefix="lure-yielding-") as name:
        folder = Path(name)
        with Stack(folder / "data", env=env) as stack, Client(stack.url) as client:
            prepare(client, folder)
            url = f"{stack.url}/v1/streams/{SERVED}/predictions"
            wanted = Wanted(url, image, kind, CLIENTS, seconds)
            pairs = []
            for _ in range(rounds):
                with stopped(stack):
                    alone = load(wanted)
                pairs.append(_pair(alone, *beside(client, wanted)))
            return pairs


def _pair(alone: Outcome, beside: Outcome, epochs: int) -> Pair:
    figures = [round(o.percentile(p), 2) for o in (alone, beside) for p in (50, 99)]
    failed = sum((*alone.failures.values(), *beside.failures.values()))
    return Pair(*figures, epochs=epochs, failed=failed)


def show(pairs: list[Pair], ratio: float) -> None:
    """One table, and what it comes to."""
    print("| alone p50 ms | p99 ms | beside p50 ms | p99 ms | p99 ratio | epochs | failed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for pair in pairs:
        print(
            f"| {pair.alone_p50:.1f} | {pair.alone_p99:.1f} | {pair.beside_p50:.1f}"
            f" | {pair.beside_p99:.1f} | {pair.ratio:.2f} | {pair.epochs} | {pair.failed} |"
        )
    print(f"\np99 beside a training ÷ alone, median of pairs: **{ratio:.2f}** (aim: at most 2)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="each gives one ratio")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each half of a round")
    parser.add_argument("--nice", type=int, default=10, choices=range(20), metavar="0…19")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    told = parser.parse_args()
    pairs = measure(told.rounds, told.seconds, told.nice)
    ratio = statistics.median(pair.ratio for pair in pairs)
    if told.json:
        json.dump({"pairs": [asdict(pair) for pair in pairs], "ratio": ratio}, sys.stdout)
        return
    show(pairs, ratio)


if __name__ == "__main__":
    main()
