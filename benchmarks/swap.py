"""Does anybody notice that the served model changes? Swaps under load, against the real service.

    python benchmarks/swap.py [--quick] [--swaps 10000] [--rate 10] [--json]

Two replicas on embedded PostgreSQL and Redis, three learned versions of digits, and room for only
one beside the champion: so each swap reads a version from the blobs, verifies it, loads it into
spare weights, warms it up and flips. `PUT …/aliases/champion` moves it, at an even pace; eight
clients predict all the while. Phases with and without swaps take turns; each pair gives a ratio.

Seconds from a promotion to the last replica's report are the database's own, from the events.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psycopg

from benchmarks.load import Outcome, Wanted, load
from lure import digits, proc
from lure.client import Client
from lure.embedded import Stack

STREAM = "swap"
VERSIONS = 3
CHUNK_IMAGES = 150
CLIENTS = 8
STEADY_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    swaps: int
    rounds: int
    rate: float  # swaps a second

    @property
    def of_a_round(self) -> int:
        return self.swaps // self.rounds


@dataclass(frozen=True)
class Phase:
    """Some seconds of load."""

    swaps: int
    answers: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of all API processes, for each answer
    resident_mib: float  # of all API processes, at its end


@dataclass(frozen=True)
class Report:
    """What came of it all."""

    steady: list[Phase]
    swapping: list[Phase]
    reached: int  # promotions that both replicas served before the next one
    to_last_replica_s: list[float]  # of these: median, 99th percentile, longest

    @property
    def ratio(self) -> float:
        pairs = zip(self.swapping, self.steady, strict=True)
        return statistics.median(swapping.p99_ms / steady.p99_ms for swapping, steady in pairs)

    @property
    def failed(self) -> int:
        return sum(phase.failed for phase in (*self.steady, *self.swapping))


class Service:
    """The running service, its champion and its processes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._image = digits.load().part(0, 1).pngs()[0]
        self._put = httpx.Client(base_url=stack.urls[-1], trust_env=False, timeout=30)
        self._champion = VERSIONS

    def learn(self, folder: Path) -> None:
        """As many versions as take turns."""
        everything = digits.load()
        with Client(self._stack.url) as client:
            client.create_stream(STREAM, **digits.SETTINGS)
            for number in range(VERSIONS):
                start = number * CHUNK_IMAGES
                part = everything.part(start, start + CHUNK_IMAGES)
                chunk = client.upload(STREAM, digits.write(part, folder / f"{number}.zip"))
                client.wait_for_chunk(
                    STREAM, chunk["id"], done=lambda c: c["version"] is not None, timeout_s=300
                )

    def phase(self, seconds: float, swaps: int = 0) -> Phase:
        """Load for so long, with so many swaps evenly within it."""
        began_cpu_s = self._cpu_s()
        url = f"{self._stack.url}/v1/streams/{STREAM}/predictions"
        kind = {"Content-Type": "image/png"}
        with self._swapping(swaps, seconds / max(1, swaps)):
            outcome: Outcome = load(Wanted(url, self._image, kind, CLIENTS, seconds, warm_s=0.2))
        answers = len(outcome.milliseconds)
        return Phase(
            swaps=swaps,
            answers=answers,
            failed=sum(outcome.failures.values()),
            p50_ms=round(outcome.percentile(50), 2),
            p99_ms=round(outcome.percentile(99), 2),
            cpu_ms=round(1e3 * (self._cpu_s() - began_cpu_s) / max(1, answers), 3),
            resident_mib=round(self._resident_bytes() / 2**20, 1),
        )

    @contextmanager
    def _swapping(self, swaps: int, every_s: float) -> Iterator[None]:
        """Meanwhile the champion moves, from another thread."""

        def move() -> None:
            began = time.monotonic()
            for number in range(swaps):
                time.sleep(max(0.0, began + number * every_s - time.monotonic()))
                self._champion = self._champion % VERSIONS + 1
                wish = {"version": self._champion, "hold": False}
                path = f"/v1/streams/{STREAM}/aliases/champion"
                self._put.put(path, json=wish, headers={"If-Match": "*"}).raise_for_status()

        mover = threading.Thread(target=move)
        mover.start()
        yield
        mover.join()

    def _pids(self) -> list[int]:
        """Of the API's processes, those that they started themselves too."""
        children = self._stack.children.items()
        mains = [child.pid for name, child in children if name.startswith("api")]
        return [one.pid for main in mains for one in proc.family(main)]

    def _cpu_s(self) -> float:
        ticks = 0
        for pid in self._pids():
            stat = (proc.PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
        return ticks / _TICKS

    def _resident_bytes(self) -> int:
        statm = [(proc.PROC / str(pid) / "statm").read_text().split() for pid in self._pids()]
        return sum(int(fields[1]) * _PAGE for fields in statm)


def to_last_replica(database_url: str, replicas: int) -> list[float]:
    """Seconds from each promotion to the report of the last replica, where that came in time."""
    url = database_url.replace("postgresql+psycopg://", "postgresql://")
    query = (
        "SELECT name, data->>'version', data->>'replica', extract(epoch FROM at) FROM events"
        " WHERE name = 'model.swapped' OR name = 'alias.moved' AND data->>'alias' = 'champion'"
        " ORDER BY id"
    )
    found, moved_at, wanted, told = [], 0.0, "", set[str]()
    with psycopg.connect(url) as connection:
        for name, version, replica, at in connection.execute(query):
            if name == "alias.moved":
                moved_at, wanted, told = float(at), version, set()
            elif version == wanted:
                told.add(replica)
                if len(told) == replicas:
                    found.append(float(at) - moved_at)
    return found


def measure(plan: Plan) -> Report:
    """Bring the service up, let it learn, and swap."""
    with tempfile.TemporaryDirectory(prefix="lure-swap-") as name:
        folder = Path(name)
        env = {"LURE_PINNED_VERSIONS": "1"}
        with Stack(folder / "data", api_replicas=2, env=env) as stack:
            service = Service(stack)
            service.learn(folder)
            service.phase(STEADY_S / 2, swaps=2 * VERSIONS)  # every shape of batch was seen once
            steady, swapping = [], []
            for _ in range(plan.rounds):
                steady.append(service.phase(STEADY_S))
                seconds = plan.of_a_round / plan.rate
                swapping.append(service.phase(seconds, swaps=plan.of_a_round))
            times = sorted(to_last_replica(stack.postgres.url, replicas=2))
    quantiles = [times[len(times) // 2], times[len(times) * 99 // 100], times[-1]]
    return Report(steady, swapping, len(times), [round(s, 3) for s in quantiles])


def show(report: Report) -> None:
    """One table, and what it comes to."""
    print("swaps  answers  failed  p50 ms  p99 ms  CPU ms/answer  resident MiB")
    for steady, swapping in zip(report.steady, report.swapping, strict=True):
        for phase in (steady, swapping):
            print(
                f"{phase.swaps:5d}  {phase.answers:7d}  {phase.failed:6d}  {phase.p50_ms:6.1f}"
                f"  {phase.p99_ms:6.1f}  {phase.cpu_ms:13.2f}  {phase.resident_mib:12.1f}"
            )
    first, last = report.swapping[0], report.swapping[-1]
    median_s, high_s, longest_s = report.to_last_replica_s
    print(f"failed: {report.failed} (aim: 0)")
    print(f"p99 while swapping ÷ steady, median of pairs: {report.ratio:.2f} (aim: at most 1.25)")
    print(f"resident MiB, first round → last: {first.resident_mib} → {last.resident_mib}")
    print(
        "CPU ms for each answer without swaps, first round → last:"
        f" {report.steady[0].cpu_ms} → {report.steady[-1].cpu_ms}"
    )
    print(
        f"promotion to the last replica, s: median {median_s}, p99 {high_s}, longest {longest_s}"
        f" of {report.reached} (aim: below 1)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--swaps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10, help="each gives one ratio")
    parser.add_argument("--rate", type=float, default=10.0, help="swaps a second")
    parser.add_argument("--quick", action="store_true", help="300 swaps in 3 rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    told = parser.parse_args()
    plan = Plan(300, 3, told.rate) if told.quick else Plan(told.swaps, told.rounds, told.rate)
    report = measure(plan)
    if told.json:
        json.dump(asdict(report) | {"ratio": report.ratio, "failed": report.failed}, sys.stdout)
        return
    show(report)


if __name__ == "__main__":
    main()
