"""LitServe's best settings for a load: a short try of each."""

from __future__ import annotations

import itertools
from dataclasses import astuple, dataclass

from benchmarks.peers.asking import Load, Server
from benchmarks.peers.model import Case

WORKERS = (1, 2)
TIMEOUTS_S = (0.0, 0.001, 0.005)
LARGEST_TRIED = 32  # clients; more of them only wait longer, and get the settings of so many


@dataclass(frozen=True)
class Settings:
    """LitServe's workers, how many requests each computes together, how long it waits for them."""

    workers: int
    batch: int
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.workers} x {self.batch}, {1e3 * self.timeout_s:g} ms"


def candidates(case: Case, clients: int, device: str) -> list[Settings]:
    """What is worth a try: no batch waits for more than there are clients."""
    sizes = sorted({min(size, clients) for size in case.batches(device)})
    return [Settings(*one) for one in itertools.product(WORKERS, sizes, TIMEOUTS_S)]


def best(server: Server, case: Case, load: Load, device: str) -> Settings:
    """Those with the most answers a second."""
    speeds = {}
    for settings in candidates(case, load.clients, device):
        server.set(*astuple(settings))
        speeds[settings] = server.load(case, load).per_s
    return max(speeds, key=lambda settings: speeds[settings])
