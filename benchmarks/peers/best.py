"""LitServe's best settings for a load: a short try of each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from benchmarks.peers.asking import Load, Server
from benchmarks.peers.model import Case

TIMEOUTS_S = (0.0, 0.001, 0.005)
LARGEST_TRIED = 32  # clients; more of them only wait longer, and get the settings of so many


@dataclass(frozen=True)
class Settings:
    """How many requests LitServe computes together, and how long it waits for them."""

    batch: int
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.batch}, {1e3 * self.timeout_s:g} ms"


def candidates(case: Case, clients: int, device: str) -> list[Settings]:
    """What is worth a try: no batch waits for more than there are clients."""
    sizes = sorted({min(size, clients) for size in case.batches(device)})
    return [Settings(*pair) for pair in itertools.product(sizes, TIMEOUTS_S)]


def best(server: Server, case: Case, load: Load, device: str) -> Settings:
    """Those with the most answers a second."""
    speeds = {}
    for settings in candidates(case, load.clients, device):
        server.set(settings.batch, settings.timeout_s)
        speeds[settings] = server.load(case, load).per_s
    return max(speeds, key=lambda settings: speeds[settings])
