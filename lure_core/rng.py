"""All randomness: generators whose seeds are derived from names, never from time or ids.

Nothing here moves torch's global generators: code that can only use those (module constructors,
dropout) runs inside `forked`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(stream_seed: int, ordinal: int, *names: str) -> int:
    """A seed of 63 bits that depends on every argument and on nothing else."""
    text = "\x1f".join([str(stream_seed), str(ordinal), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int) -> torch.Generator:
    """On the CPU whatever the device, so that a seed means the same draw everywhere."""
    return torch.Generator().manual_seed(seed)


@contextmanager
def forked(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, torch's global generators start from `seed`; afterwards they are as before."""
    on_cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
