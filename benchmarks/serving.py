"""How fast are predictions, beside LitServe, a bare FastAPI endpoint and the bare torch loop?

    python -m benchmarks.serving [--quick] [--clients 1 8 32 128] [--processes 1] [--json]

The same model and the same image on the same box, one image a request. In each round every server
gets every load once, in turn, while the others wait; figures are medians over the rounds. LitServe
batches, at the best settings found (`peers/lit.py`); the service is the real one, on PostgreSQL and
Redis, with its defaults. `raw` is the torch loop without decoding and without a server.

LitServe is of the dependency group "bench": pip install --group bench -c constraints.txt
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import httpx

from benchmarks.ground import running, service
from benchmarks.load import Outcome, Wanted, load
from benchmarks.peers.model import CASES, Case
from lure.layout import ports

START_S = 120.0
_BOUNDARY = "----a-boundary-of-the-benchmark"


@dataclass(frozen=True)
class Server:
    """Something that answers, and how it wants to be asked."""

    name: str
    root: str
    protocols: tuple[str, ...]

    def wanted(self, case: Case, protocol: str) -> tuple[str, bytes, dict[str, str]]:
        """URL, body and headers."""
        image = case.image()
        path = f"/v1/streams/{case.name}/predictions" if self.name == "lure" else "/predict"
        kind = f"image/{case.format.lower()}"
        if protocol == "json":
            text = base64.b64encode(image).decode()
            asked = {"images": [text]} if self.name == "lure" else {"image": text}
            return self.root + path, json.dumps(asked).encode(), _typed("application/json")
        if protocol == "oip":
            return self.root + f"/v2/models/{case.name}/infer", *_oip(image)
        if self.name == "litserve":
            return self.root + path, *_form(image)
        return self.root + path, image, _typed(kind)


@dataclass(frozen=True)
class Figure:
    """Medians over the rounds."""

    case: str
    protocol: str
    clients: int
    server: str
    per_s: float
    p50_ms: float
    p99_ms: float
    failures: int


def _typed(kind: str) -> dict[str, str]:
    return {"Content-Type": kind}


def _form(image: bytes) -> tuple[bytes, dict[str, str]]:
    head = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data;"
        ' name="image"; filename="a"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    body = head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return body, _typed(f"multipart/form-data; boundary={_BOUNDARY}")


def _oip(image: bytes) -> tuple[bytes, dict[str, str]]:
    """The Open Inference Protocol with its binary extension, both ways."""
    tensor = len(image).to_bytes(4, "little") + image
    binary = {"binary_data_size": len(tensor)}
    given = {"name": "images", "shape": [1], "datatype": "BYTES", "parameters": binary}
    asked = {"inputs": [given], "parameters": {"binary_data_output": True}}
    head = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return head + tensor, headers | _typed("application/octet-stream")


def _servers(told: argparse.Namespace, case: Case, opened: ExitStack) -> list[Server]:
    """All of them, started and answering."""
    env = os.environ | {"OMP_WAIT_POLICY": "passive"}
    ours, bare, lit = ports(0, count=3)
    opened.enter_context(service([case], ours, {"LURE_PROCESSES": str(told.processes)}))
    for module, port in (("bare", bare), ("lit", lit)):
        program = [sys.executable, "-m", f"benchmarks.peers.{module}", case.name, str(port)]
        opened.enter_context(running(program, port, env))
    servers = [
        Server("lure", f"http://127.0.0.1:{ours}", ("json", "binary", "oip")),
        Server("litserve", f"http://127.0.0.1:{lit}", ("json", "binary")),
        Server("fastapi", f"http://127.0.0.1:{bare}", ("json", "binary")),
    ]
    for server in servers:
        _await(server, case)
    return servers


def _await(server: Server, case: Case) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        url, body, headers = server.wanted(case, "json")
        try:
            if httpx.post(url, content=body, headers=headers, timeout=30).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{server.name} does not answer")


def _raw(case: Case, seconds: float) -> float:
    """Images a second of the bare loop."""
    program = [sys.executable, "-m", "benchmarks.peers.raw", case.name, str(seconds)]
    return float(subprocess.run(program, capture_output=True, check=True, text=True).stdout)


def measure(told: argparse.Namespace, case: Case) -> Iterator[Figure]:
    """Every load on every server, in turn, as often as told."""
    found: dict[tuple[str, int, str], list[Outcome]] = {}
    raw = []
    with ExitStack() as opened:
        servers = _servers(told, case, opened)
        for number in range(told.rounds):
            raw.append(_raw(case, told.seconds))
            for clients in told.clients:
                for protocol in ("json", "binary", "oip"):
                    # whoever is first in one round is last in the next
                    for server in servers[:: 1 if number % 2 == 0 else -1]:
                        if protocol not in server.protocols:
                            continue
                        url, body, headers = server.wanted(case, protocol)
                        wanted = Wanted(url, body, headers, clients, told.seconds)
                        key = (protocol, clients, server.name)
                        found.setdefault(key, []).append(load(wanted))
    yield Figure(case.name, "", 0, "raw", statistics.median(raw), 0.0, 0.0, 0)
    for (protocol, clients, server), outcomes in found.items():
        yield Figure(
            case=case.name,
            protocol=protocol,
            clients=clients,
            server=server,
            per_s=statistics.median(one.per_s for one in outcomes),
            p50_ms=statistics.median(one.percentile(50) for one in outcomes),
            p99_ms=statistics.median(one.percentile(99) for one in outcomes),
            failures=sum(sum(one.failures.values()) for one in outcomes),
        )


def show(figures: list[Figure]) -> None:
    """One table: a line for each load, for each server images a second and percentiles."""
    by_load: dict[tuple[str, str, int], dict[str, Figure]] = {}
    raw = {one.case: one.per_s for one in figures if one.server == "raw"}
    for one in figures:
        if one.server != "raw":
            by_load.setdefault((one.case, one.protocol, one.clients), {})[one.server] = one
    print("case   protocol clients |  lure/s  p50  p99 ms | litserve/s  p50  p99 ms |"
          " fastapi/s  p50  p99 ms | ÷ litserve  p99 ÷  ÷ raw  failures")  # fmt: skip
    for (case, protocol, clients), servers in by_load.items():
        ours = servers["lure"]
        lit = servers.get("litserve") or by_load[case, "binary", clients]["litserve"]
        cells = " | ".join(_cell(servers.get(name)) for name in ("lure", "litserve", "fastapi"))
        print(
            f"{case:6} {protocol:8} {clients:7d} | {cells} | {ours.per_s / lit.per_s:10.2f}"
            f" {ours.p99_ms / lit.p99_ms:6.2f} {ours.per_s / raw[case]:6.2f}  {ours.failures}"
        )
    for case, per_s in raw.items():
        print(f"raw torch loop, {case}: {per_s:.1f} images/s in batches of {CASES[case].batch}")


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return " " * 23
    return f"{figure.per_s:7.1f} {figure.p50_ms:6.1f} {figure.p99_ms:7.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--processes", type=int, default=1, help="of our API")
    parser.add_argument("--quick", action="store_true", help="one round of 3 s, 1 and 32 clients")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    told = parser.parse_args()
    if told.quick:
        told.rounds, told.seconds, told.clients = 1, 3.0, [1, 32]
    figures = [figure for name in told.cases for figure in measure(told, CASES[name])]
    if told.json:
        json.dump([asdict(one) for one in figures], sys.stdout, indent=2)
    else:
        show(figures)


if __name__ == "__main__":
    main()
