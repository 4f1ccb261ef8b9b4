"""How full the GPU is, measured by the child that uses it and by no other process."""

from __future__ import annotations

import torch

from lure_core.precision import device_of
from worker.board import Board


def measure(board: Board, device: str) -> None:
    """Note it, once a cycle has begun to use CUDA in this process; it is never begun for this.

    Args:
        board: What the main process reads.
        device: Where cycles run, as in the settings.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    chosen = device_of(device)
    if chosen.type == "cuda":
        free_bytes, total_bytes = torch.cuda.mem_get_info(chosen)
        board.measured(
            torch.cuda.get_device_name(chosen),
            used_bytes=total_bytes - free_bytes,
            total_bytes=total_bytes,
        )
