"""How fast are predictions, beside LitServe, a bare FastAPI endpoint and the bare torch loop?

    python -m benchmarks.serving [--quick] [--clients 1 8 32 128] [--device cpu] [--json]

The same model and the same image on the same box, one image a request. In each round every server
gets every load once, in turn, while the others wait; figures are medians over the rounds. The
service is the real one, on PostgreSQL and Redis, with a process for each core. LitServe batches, in
each load with the best of several settings (workers, batch, wait), which are tried first. It runs
twice, with torch's plain module and with the graph that the service computes ("runner"): what the
graph gains can be told from what the server gains. `raw` is the fastest torch loop of several,
without decoding and without a server. How long a load lasts follows from it: before it counts,
every client is answered about once.

LitServe is of the dependency group "bench", which `make setup` installs too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass

from benchmarks.ground import running, service
from benchmarks.load import Outcome
from benchmarks.peers import table
from benchmarks.peers.asking import Load, Place, Server
from benchmarks.peers.best import LARGEST_TRIED, WORKERS, Settings, best
from benchmarks.peers.model import CASES, GRAPHS, Case
from benchmarks.peers.raw import Raw, measured
from benchmarks.peers.table import Figure, Report
from lure.layout import ports, url

PASS = 1.1  # of the time in which raw computes an image for every client
TRIED_S = 1.2  # of each of LitServe's settings


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    clients: list[int]
    protocols: list[str]
    rounds: int
    seconds: float  # of each load, at least
    processes: int  # of our API
    device: str


@dataclass(frozen=True)
class Asked:
    """One server under one load."""

    server: Server
    load: Load
    settings: Settings | None  # of LitServe


def start(plan: Plan, case: Case, opened: ExitStack) -> list[Server]:
    """All servers, each answering."""
    quiet = os.environ | {"OMP_WAIT_POLICY": "passive"}
    free = iter(ports(0, count=2 + len(GRAPHS) * len(WORKERS)))

    def peer(module: str, *told: str) -> Place:
        port = next(free)
        program = [sys.executable, "-m", f"benchmarks.peers.{module}", case.name, str(port), *told]
        return Place(url(port), opened.enter_context(running(program, port, quiet)))

    env = {"LURE_PROCESSES": str(plan.processes), "LURE_SERVE_DEVICE": plan.device}
    port = next(free)
    ours = Place(url(port), opened.enter_context(service([case], port, env)))
    servers = [Server("lure", {1: ours}), Server("fastapi", {1: peer("bare", plan.device)})]
    for graph in GRAPHS:
        places = {workers: peer("lit", graph, plan.device, str(workers)) for workers in WORKERS}
        servers.append(Server(f"litserve {graph}", places))
    for server in servers:
        server.wait(case)
    return servers


def loads(plan: Plan, raw_per_s: float) -> list[Load]:
    """Long enough for every client to be answered in the warm-up, and again."""
    passes = {clients: PASS * clients / raw_per_s for clients in plan.clients}
    return [
        Load(protocol, clients, max(plan.seconds, passes[clients]), max(0.5, passes[clients]))
        for clients in plan.clients
        for protocol in plan.protocols
    ]


def settled(plan: Plan, case: Case, servers: list[Server], raw_per_s: float) -> list[Asked]:
    """Every load for every server that knows its protocol, LitServe with its best settings."""
    plain = next(server for server in servers if server.name == "litserve plain")
    found: dict[int, Settings] = {}
    for clients in sorted({min(clients, LARGEST_TRIED) for clients in plan.clients}):
        pass_s = clients / raw_per_s
        tried = Load("binary", clients, max(TRIED_S, pass_s), max(0.3, pass_s))
        found[clients] = best(plain, case, tried, plan.device)
    return [
        Asked(server, load, found[min(load.clients, LARGEST_TRIED)] if server.is_lit else None)
        for load in loads(plan, raw_per_s)
        for server in servers
        if load.protocol in server.protocols
    ]


def measure(plan: Plan, case: Case) -> tuple[list[Figure], list[Raw]]:
    """Every load on every server, in turn, as often as told."""
    raw = [measured(case, 1.0, plan.device)]
    outcomes: dict[Asked, list[Outcome]] = {}
    with ExitStack() as opened:
        servers = start(plan, case, opened)
        everything = settled(plan, case, servers, max(one.per_s for one in raw[0]))
        for number in range(plan.rounds):
            raw.append(measured(case, 1.0, plan.device))
            # whoever is first in one round is last in the next
            for asked in everything[:: 1 if number % 2 == 0 else -1]:
                if asked.settings is not None:
                    asked.server.set(*astuple(asked.settings))
                outcomes.setdefault(asked, []).append(asked.server.load(case, asked.load))
    figures = [_figure(case, asked, outcomes[asked]) for asked in everything]
    return figures, [_median(loops) for loops in zip(*raw, strict=True)]


def _median(loops: tuple[Raw, ...]) -> Raw:
    speed = statistics.median(loop.per_s for loop in loops)
    return Raw(loops[0].graph, loops[0].batch, speed)


def _figure(case: Case, asked: Asked, outcomes: list[Outcome]) -> Figure:
    return Figure(
        case=case.name,
        protocol=asked.load.protocol,
        clients=asked.load.clients,
        server=asked.server.name,
        settings=str(asked.settings or ""),
        per_s=statistics.median(one.per_s for one in outcomes),
        p50_ms=statistics.median(one.percentile(50) for one in outcomes),
        p99_ms=statistics.median(one.percentile(99) for one in outcomes),
        failures=sum(sum(one.failures.values()) for one in outcomes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32, 128])
    protocols = ("json", "binary", "oip")
    parser.add_argument("--protocols", nargs="+", choices=protocols, default=["json", "binary"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each load, at least")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=cores, help="of our API")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of every server")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, 1 and 8 clients")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    told = parser.parse_args()
    if told.quick:
        told.rounds, told.seconds, told.clients = 1, 2.0, [1, 8]
    kept = {name: getattr(told, name) for name in Plan.__dataclass_fields__}
    report = Report({}, {})
    for name in told.cases:
        report.figures[name], report.raw[name] = measure(Plan(**kept), CASES[name])
    if told.json:
        json.dump(asdict(report), sys.stdout, indent=2)
    else:
        table.show(report)


if __name__ == "__main__":
    main()
