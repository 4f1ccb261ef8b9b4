"""How many threads a cycle uses in this process."""

from __future__ import annotations

import os

import torch
import torch._dynamo  # the first optimiser step loads it: here it is loaded once, before the fork

from lure_core import models
from lure_core.config import CycleConfig
from lure_core.models.cost import forward_flops

ONE_THREAD_BELOW_FLOPS = 600_000_000
"""Forward cost of one batch under which a second thread costs more than it gives.

Two AVX2 cores, OpenMP waiting passively, images/s with one and with two threads: resnet20s at 8 px
in batches of 32 (0.16 GFLOP) 1460 and 1130, in batches of 256 (1.3) 2340 and 2330; at 32 px in
batches of 64 (5.2) 190 and 280; ResNet-18 at 32 px in batches of 64 (71) 21 and 33.
"""


def use_threads(wanted: int, config: CycleConfig) -> int:
    """Give torch that many threads, or, where `wanted` is 0, as many as the cycle's batches fill.

    The bits of a result depend on it, so it is a rule and no timing, and each version records it.
    """
    chosen = threads_for(wanted, config)
    set_threads(chosen)
    return chosen


def threads_for(wanted: int, config: CycleConfig, *, ranks: int = 1) -> int:
    """How many each of so many processes has that work on their parts of the batches."""
    if not wanted and _batch_flops(config) // ranks < ONE_THREAD_BELOW_FLOPS:
        return 1
    return max(1, (wanted or cpus()) // ranks)


def set_threads(count: int) -> None:
    """Give torch exactly that many threads."""
    torch.set_num_threads(count)


def _batch_flops(config: CycleConfig) -> int:
    model = models.build(
        config.architecture, classes=len(config.classes), input=config.input, seed=0
    )
    return config.recipe.batch_size * forward_flops(model, config.input)


def cpus() -> int:
    """The CPUs that this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
