"""What the ranks are told, and what one that fails leaves: small JSON files in one folder."""

from __future__ import annotations

import errno
import json
import shutil
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lure_core import data, errors
from lure_core.config import CycleConfig
from lure_core.cycle import Checkpoint, CycleData, Start
from worker.errors import WorkerError

_LEFT = "left"
_MAX_TRACEBACK = 18_000  # characters


class RanksRaised(WorkerError):
    """A rank raised what nobody foresaw; the message holds its traceback."""


@dataclass(frozen=True)
class Job:
    """One launch of the ranks of a cycle.

    Attributes:
        folder: Where all of this lies, with the parent's weights and the resume state.
        config: Of the cycle, as `CycleConfig.to_dict` gives it.
        new: Paths of the files of the chunks to learn, in order.
        past: Those of all chunks learned before, oldest first.
        sidecar: The parent's; None where there is no parent.
        resumes: Whether there is a state to go on from.
        packages: Models of one's own that may be imported.
        threads: Of each rank.
        timeout_s: How long a rank waits for another.
    """

    folder: str
    config: dict[str, Any]
    new: Sequence[str]
    past: Sequence[str]
    sidecar: dict[str, Any] | None
    resumes: bool
    packages: Sequence[str]
    threads: int
    timeout_s: float

    @property
    def socket(self) -> Path:
        """Where the worker listens to rank 0."""
        return Path(self.folder) / "worker"

    @property
    def _file(self) -> Path:
        return file_of(Path(self.folder))

    @property
    def _weights(self) -> Path:
        return Path(self.folder) / "parent.safetensors"

    @property
    def _state(self) -> Path:
        return Path(self.folder) / "state.safetensors"

    def write(self, start: Start) -> None:
        """Lay everything out for the ranks."""
        if start.parent is not None:
            self._weights.write_bytes(start.parent.weights)
        if start.resume is not None:
            self._state.write_bytes(start.resume)
        self._file.write_text(json.dumps(asdict(self)))

    def start(self) -> Start:
        """Where the cycle starts."""
        parent = None
        if self.sidecar is not None:
            parent = Checkpoint(self._weights.read_bytes(), self.sidecar)
        return Start(parent, self._state.read_bytes() if self.resumes else None)

    def data(self, config: CycleConfig) -> CycleData:
        """The chunk files, mapped."""
        new, past = (list(map(Path, paths)) for paths in (self.new, self.past))
        return CycleData(data.load(new, config.classes), data.load(past, config.classes))


def file_of(folder: Path) -> Path:
    return folder / "job.json"


def mark_left(folder: Path) -> None:
    """The worker lives, and takes the folder away when its ranks are gone."""
    (folder / _LEFT).touch()


def take_away(folder: Path) -> None:
    """By its ranks, where the worker died and nobody else will."""
    if not (folder / _LEFT).exists():
        shutil.rmtree(folder, ignore_errors=True)


def read(folder: Path) -> Job:
    """What a rank is told in that folder."""
    return Job(**json.loads(file_of(folder).read_text()))


@dataclass(frozen=True)
class Fault:
    """What a rank raised, on its way to the worker."""

    kind: str
    words: str
    errno: int | None
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Fault:
        number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
        trace = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
        return cls(type(error).__name__, str(error), number, trace)

    def write(self, folder: Path, rank: int) -> None:
        (folder / f"fault-{rank}.json").write_text(json.dumps(asdict(self)))

    def raised(self) -> Exception:
        """As this process would have raised it: the core's own errors, and those of the machine."""
        known = getattr(errors, self.kind, None)
        if known in (errors.BadCheckpoint, errors.BadChunkFile, errors.ConfigError):
            error: Exception = known(self.words)
            return error
        if self.errno is not None:
            return OSError(self.errno, self.words)
        return RanksRaised(f"{self.kind}: {self.words}\n{self.trace}")


def fault(folder: Path) -> Fault | None:
    """What the first of the ranks that raised has left."""
    for file in sorted(folder.glob("fault-*.json")):
        return Fault(**json.loads(file.read_text()))
    return None
