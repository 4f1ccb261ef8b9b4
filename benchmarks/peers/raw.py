"""The bare loop: batches of pixels that are there already, one after the other.

    python -m benchmarks.peers.raw CASE SECONDS DEVICE

Prints images a second of each graph and size of batch that is tried: what torch gives, and no
server can.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.peers.model import CASES, GRAPHS, Case, Model


@dataclass(frozen=True)
class Raw:
    """A loop and its speed."""

    graph: str
    batch: int
    per_s: float


def loops(case: Case, seconds: float, device: str) -> list[Raw]:
    """Every one, each for so long."""
    models = {graph: Model(case, graph, device) for graph in GRAPHS}
    tried = [(graph, size) for size in case.batches(device) for graph in GRAPHS]
    return [Raw(graph, size, _loop(models[graph], case, size, seconds)) for graph, size in tried]


def measured(case: Case, seconds: float, device: str) -> list[Raw]:
    """The same, in a process of its own."""
    program = [sys.executable, "-m", "benchmarks.peers.raw", case.name, str(seconds), device]
    run = subprocess.run(program, capture_output=True, check=True, text=True)
    return [Raw(**one) for one in json.loads(run.stdout)]


def _loop(model: Model, case: Case, size: int, seconds: float) -> float:
    images = [model.decode(case.image())] * size
    model.predict(images)
    began, batches = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        model.predict(images)
        batches += 1
    return batches * size / (time.perf_counter() - began)


if __name__ == "__main__":
    found = loops(CASES[sys.argv[1]], float(sys.argv[2]), sys.argv[3])
    json.dump([asdict(one) for one in found], sys.stdout)
