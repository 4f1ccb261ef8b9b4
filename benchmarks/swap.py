"""Does anybody notice that the served model changes? Swaps under load, against the real service.

    python -m benchmarks.swap [--quick] [--swaps 10000] [--rate 2] [--json]

Two replicas on embedded PostgreSQL and Redis, three learned versions of digits, and room for only
one beside the champion: so each swap reads a version from the blobs, verifies it, loads it into
spare weights, warms it up and flips. `PUT …/aliases/champion` moves it, at an even pace, though no
sooner than both replicas serve the version before: no swap is skipped, and a promotion is two
swaps. The pace is given, because as fast as it goes a quicker swap looks worse: there are more of
them (`--rate 6` is that fast). Eight clients predict all the while. Phases with and without swaps
take turns, until there were as many swaps as told; each pair gives a ratio.

Seconds from a promotion to the last replica's report are the database's own, from the events.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psycopg

from benchmarks.load import Outcome, Wanted, load
from benchmarks.promotions import Promoter
from lure import digits, proc
from lure.client import Client
from lure.embedded import Stack

STREAM = "swap"
REPLICAS = 2
VERSIONS = 3
CHUNK_IMAGES = 150
CLIENTS = 8
STEADY_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    swaps: int  # of all replicas together
    rounds: int  # more, where replicas do not keep the pace
    rate: float  # promotions a second, at most

    @property
    def seconds(self) -> float:
        """Of a round's swaps."""
        return self.swaps / self.rounds / REPLICAS / self.rate


@dataclass(frozen=True)
class Phase:
    """Some seconds of load."""

    promoted_s: list[float]  # of each promotion, until the last replica served it
    answers: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of all API processes, for each answer
    resident_mib: float  # of all API processes, at its end

    @property
    def swaps(self) -> int:
        return REPLICAS * len(self.promoted_s)


@dataclass(frozen=True)
class Report:
    """What came of it all."""

    steady: list[Phase]
    swapping: list[Phase]

    @property
    def swaps(self) -> int:
        return sum(phase.swaps for phase in self.swapping)

    @property
    def promoted_s(self) -> list[float]:
        """Of all promotions: median, 99th percentile, longest."""
        found = sorted(seconds for phase in self.swapping for seconds in phase.promoted_s)
        return [found[len(found) // 2], found[len(found) * 99 // 100], found[-1]]

    @property
    def ratio(self) -> float:
        pairs = zip(self.swapping, self.steady, strict=True)
        return statistics.median(swapping.p99_ms / steady.p99_ms for swapping, steady in pairs)

    @property
    def failed(self) -> int:
        return sum(phase.failed for phase in (*self.steady, *self.swapping))


class Service:
    """The running service, its champion and its processes."""

    def __init__(self, stack: Stack, promoter: Promoter) -> None:
        self._stack = stack
        self._promoter = promoter
        self._image = digits.load().part(0, 1).pngs()[0]

    def phase(self, seconds: float, *, rate: float | None = None) -> Phase:
        """Load for so long, and so many promotions a second within it.

        Raises:
            HTTPError, Unserved: A promotion failed.
        """
        began_cpu_s = self._cpu_s()
        url = f"{self._stack.url}/v1/streams/{STREAM}/predictions"
        kind = {"Content-Type": "image/png"}
        with ThreadPoolExecutor(1) as beside:
            ends = time.monotonic() + seconds
            promoting = rate and beside.submit(self._promoter.until, ends, every_s=1 / rate)
            outcome: Outcome = load(Wanted(url, self._image, kind, CLIENTS, seconds, warm_s=0.2))
            promoted_s = promoting.result() if promoting else []
        answers = len(outcome.milliseconds)
        return Phase(
            promoted_s=[round(one, 3) for one in promoted_s],
            answers=answers,
            failed=sum(outcome.failures.values()),
            p50_ms=round(outcome.percentile(50), 2),
            p99_ms=round(outcome.percentile(99), 2),
            cpu_ms=round(1e3 * (self._cpu_s() - began_cpu_s) / max(1, answers), 3),
            resident_mib=round(self._resident_bytes() / 2**20, 1),
        )

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


def learn(stack: Stack, folder: Path) -> None:
    """As many versions as take turns."""
    everything = digits.load()
    with Client(stack.url) as client:
        client.create_stream(STREAM, **digits.SETTINGS)
        for number in range(VERSIONS):
            start = number * CHUNK_IMAGES
            part = everything.part(start, start + CHUNK_IMAGES)
            chunk = client.upload(STREAM, digits.write(part, folder / f"{number}.zip"))
            client.wait_for_chunk(
                STREAM, chunk["id"], done=lambda c: c["version"] is not None, timeout_s=300
            )


@contextmanager
def promoter(stack: Stack) -> Iterator[Promoter]:
    """Moves the champion through the last replica; the clients ask the first."""
    url = stack.postgres.url.replace("postgresql+psycopg://", "postgresql://")
    with (
        httpx.Client(base_url=stack.urls[-1], trust_env=False, timeout=30) as api,
        psycopg.connect(url, autocommit=True) as database,
    ):
        yield Promoter(api, database, stream=STREAM, versions=VERSIONS, replicas=REPLICAS)


def measure(plan: Plan) -> Report:
    """Bring the service up, let it learn, and swap."""
    with tempfile.TemporaryDirectory(prefix="lure-swap-") as name, ExitStack() as opened:
        folder = Path(name)
        env = {"LURE_PINNED_VERSIONS": "1"}
        stack = opened.enter_context(Stack(folder / "data", api_replicas=REPLICAS, env=env))
        learn(stack, folder)
        service = Service(stack, opened.enter_context(promoter(stack)))
        service.phase(STEADY_S / 2, rate=plan.rate)  # every shape of batch was seen once
        report = Report([], [])
        with suppress(KeyboardInterrupt):  # what was measured until then is told
            while report.swaps < plan.swaps:
                pair = service.phase(STEADY_S), service.phase(plan.seconds, rate=plan.rate)
                report.steady.append(pair[0])
                report.swapping.append(pair[1])
                print(*map(row, pair), sep="\n", file=sys.stderr, flush=True)
        return report


def row(phase: Phase) -> str:
    """Of the table, as Markdown."""
    return (
        f"| {phase.swaps} | {phase.answers} | {phase.failed} | {phase.p50_ms:.1f}"
        f" | {phase.p99_ms:.1f} | {phase.cpu_ms:.2f} | {phase.resident_mib:.1f} |"
    )


def show(report: Report) -> None:
    """One table, and what it comes to."""
    print("| swaps | answers | failed | p50 ms | p99 ms | CPU ms an answer | resident MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for steady, swapping in zip(report.steady, report.swapping, strict=True):
        print(row(steady), row(swapping), sep="\n")
    first, last = report.swapping[0], report.swapping[-1]
    median_s, high_s, longest_s = report.promoted_s
    print(f"\n- swaps: **{report.swaps}**, by {REPLICAS} replicas; failed: **{report.failed}**")
    print(f"- p99 while swapping ÷ steady, median of pairs: **{report.ratio:.2f}** (aim: ≤ 1.25)")
    print(f"- resident MiB, first round → last: {first.resident_mib} → {last.resident_mib}")
    print(
        "- CPU ms an answer without swaps, first round → last:"
        f" {report.steady[0].cpu_ms} → {report.steady[-1].cpu_ms}"
    )
    print(
        f"- promotion to the last replica, s, of all {report.swaps // REPLICAS}: median {median_s},"
        f" p99 {high_s}, longest **{longest_s}** (aim: < 1)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--swaps", type=int, default=10_000, help="of both replicas together")
    parser.add_argument("--rounds", type=int, default=10, help="each gives one ratio")
    parser.add_argument("--rate", type=float, default=2.0, help="promotions a second, at most")
    parser.add_argument("--quick", action="store_true", help="300 swaps in 3 rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    told = parser.parse_args()
    plan = Plan(300, 3, told.rate) if told.quick else Plan(told.swaps, told.rounds, told.rate)
    report = measure(plan)
    if told.json:
        figures = {name: getattr(report, name) for name in ("swaps", "failed", "ratio")}
        json.dump(asdict(report) | figures, sys.stdout)
        return
    show(report)


if __name__ == "__main__":
    main()
