"""How many threads a cycle may use in this process."""

from __future__ import annotations

import os

import torch
import torch._dynamo  # the first optimiser step loads it: here it is loaded once, before the fork


def use_threads(threads: int) -> int:
    """Give torch that many threads, or one a CPU where `threads` is 0; return how many.

    The bits of a result depend on it, so each version records it.
    """
    chosen = threads or _cpus()
    torch.set_num_threads(chosen)
    return chosen


def _cpus() -> int:
    """The CPUs that this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
