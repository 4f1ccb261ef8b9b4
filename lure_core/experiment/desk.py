"""Where an unfinished run stands, in files, so that a kill costs little work."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lure_core import checkpoint
from lure_core.errors import BadCheckpoint
from lure_core.experiment.folder import replace_with
from lure_core.experiment.record import Record
from lure_core.types import Checkpoint, Progress


@dataclass(frozen=True, eq=False)
class Standing:
    """A run after its last finished chunk.

    Attributes:
        records: Of every chunk so far.
        mask: Which weights the last unlearning reset; see `UnlearnReport.mask`.
    """

    version: Checkpoint
    records: tuple[Record, ...]
    mask: npt.NDArray[np.uint8] | None = None


class Desk:
    """The files of one run, or of a first chunk that several runs share."""

    def __init__(self, folder: Path, name: str, *, save_every_s: float) -> None:
        self._folder, self._name, self._save_every_s = folder, name, save_every_s
        self._saved = time.monotonic()

    @property
    def _last(self) -> Path:
        return self._folder / f"{self._name}.safetensors"

    def _half(self, chunk: int) -> Path:
        return self._folder / f"{self._name}.chunk{chunk}.half"

    def standing(self) -> Standing | None:
        """What was kept last; None where there is nothing, or nothing whole."""
        content = _read(self._last)
        if content is None:
            return None
        try:
            tensors, notes = checkpoint.unpack_state(content)
        except BadCheckpoint:  # the machine stopped before the disk had all of it
            return None
        version = Checkpoint(tensors["version"].numpy().tobytes(), notes["sidecar"])
        records = tuple(Record.from_dict(values) for values in notes["records"])
        mask = tensors["mask"].numpy() if "mask" in tensors else None
        return Standing(version, records, mask)

    def keep(self, standing: Standing) -> None:
        """A chunk is done: what was half done of it is not needed any more."""
        weights = bytearray(standing.version.weights)
        tensors = {"version": torch.frombuffer(weights, dtype=torch.uint8)}
        if standing.mask is not None:
            tensors["mask"] = torch.from_numpy(standing.mask)
        records = [record.to_dict() for record in standing.records]
        notes = {"sidecar": standing.version.sidecar, "records": records}
        replace_with(self._last, checkpoint.pack_state(tensors, notes))
        self._half(len(records)).unlink(missing_ok=True)
        self._saved = time.monotonic()

    def half_done(self, chunk: int) -> bytes | None:
        """The state of the cycle that was being worked on."""
        return _read(self._half(chunk))

    def drop_half(self, chunk: int) -> None:
        self._half(chunk).unlink(missing_ok=True)

    def listener(self, chunk: int) -> Callable[[Progress], None]:
        """Saves the cycle's state when the last save is long enough ago."""

        def listen(progress: Progress) -> None:
            if progress.state and time.monotonic() - self._saved >= self._save_every_s:
                replace_with(self._half(chunk), progress.state())
                self._saved = time.monotonic()

        return listen

    def clear(self) -> None:
        for path in self._folder.glob(f"{glob.escape(self._name)}.*"):
            path.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """None where it is not there, or gone by now: with several jobs another may have cleared it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
