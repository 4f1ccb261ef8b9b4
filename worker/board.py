"""What the children of a worker's main process tell it, in memory that they share.

The main process, which never touches a GPU, passes it on with its lease. One writes a figure after
the other and nobody waits for anybody: of several children that write, the last one counts.
"""

from __future__ import annotations

import mmap
import struct
import time
from enum import IntEnum

_FIGURE = struct.Struct("d")
_NAME_BYTES = 120


class _Cell(IntEnum):
    GPU_USED_BYTES = 0
    GPU_TOTAL_BYTES = 1
    SWEPT_AT = 2
    COLLECTED_AT = 3


class Board:
    """Make it before the fork. Zero: nothing was told."""

    def __init__(self) -> None:
        self._figures_bytes = len(_Cell) * _FIGURE.size
        self._shared = mmap.mmap(-1, self._figures_bytes + _NAME_BYTES)

    def measured(self, device: str, *, used_bytes: int, total_bytes: int) -> None:
        """So much of the memory of that device is in use, by whomever."""
        self._write(_Cell.GPU_USED_BYTES, used_bytes)
        self._write(_Cell.GPU_TOTAL_BYTES, total_bytes)
        name = device.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")
        self._shared[self._figures_bytes :] = name

    def forget_device(self) -> None:
        """Whoever measured it has ended."""
        self._shared[self._figures_bytes :] = bytes(_NAME_BYTES)
        self._write(_Cell.GPU_TOTAL_BYTES, 0)

    def swept(self) -> None:
        """This queue was swept now."""
        self._write(_Cell.SWEPT_AT, time.time())

    def collected(self) -> None:
        """Garbage was collected now."""
        self._write(_Cell.COLLECTED_AT, time.time())

    def facts(self) -> dict[str, str | float | None]:
        """All of it, for the lease; times are seconds of this machine's clock."""
        name = self._shared[self._figures_bytes :].rstrip(b"\0").decode(errors="replace")
        return {
            "device": name or None,
            "gpu_memory_used_bytes": self._read(_Cell.GPU_USED_BYTES) if name else None,
            "gpu_memory_total_bytes": self._read(_Cell.GPU_TOTAL_BYTES),
            "swept_at": self._read(_Cell.SWEPT_AT),
            "collected_at": self._read(_Cell.COLLECTED_AT),
        }

    def _write(self, cell: _Cell, value: float) -> None:
        _FIGURE.pack_into(self._shared, cell * _FIGURE.size, value)

    def _read(self, cell: _Cell) -> float | None:
        (value,) = _FIGURE.unpack_from(self._shared, cell * _FIGURE.size)
        return value or None
