"""What is written down of every chunk of every run, as JSON lines.

A figure that is no number, as of a run that diverged, is null in JSON and NaN here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lure_core.errors import ConfigError
from lure_core.experiment.plan import Run

PRICED = ("relearn", "unlearn", "select", "subsample")
"""What a version costs, of all that is computed; scoring it is no part of the price."""


@dataclass(frozen=True)
class Record:
    """One run after one chunk. Shares are 0…1; None where there is nothing to tell.

    Attributes:
        method: With `seed`, `budget` and `noise`: the run.
        chunk: Counted from 1, of `chunks`.
        accuracy: On the test images.
        per_class: The same by class.
        ece: Expected calibration error on the test images.
        test_images: How many there are.
        errors: How many of them were answered wrongly.
        images_seen: Training images that have arrived so far.
        train_images: Training images of one epoch (the mean, where it varies).
        trained_images: Images that went forward and backward in this cycle.
        steps: Gradient steps of this cycle.
        epochs: Trained in this cycle.
        best_epoch: The one that was kept.
        flops: Computed so far in this run, by purpose.
        price: Of it what made the versions: relearning, unlearning, selecting, subsampling.
        seconds: Of this cycle, by stage; "measure" is what only this record needed, "compile" how
            much of the relearning `torch.compile` took.
        prequential_accuracy: Of the version before, on this chunk.
        train_accuracy: On the training images it may relearn from (new and replayed, whatever
            `old_share` left of them), unaugmented, against their right labels.
        generalisation_gap: `train_accuracy` less `accuracy`.
        earlier: Accuracy on the select images of each chunk so far, against their right labels.
        unlearn: The strategy's report.
        mask_overlap: Share of the weights reset this time that had been reset last time too.
        mask_chance: What that share would be if this time's weights were drawn by chance.
        replayed_images: Training and select images of the past that were replayed.
        calibration: Of the last version, before and after temperature scaling on the select
            images; see `calibration.report`. None without select images.
        robustness: Of the last version, where asked for; see `robustness.report`.
        environment: What it was made with.
    """

    method: str
    seed: int
    budget: str
    noise: float
    chunk: int
    chunks: int
    accuracy: float
    per_class: dict[str, float | None]
    ece: float
    test_images: int
    errors: int
    images_seen: int
    train_images: int
    trained_images: int
    steps: int
    epochs: int
    best_epoch: int
    flops: dict[str, int]
    price: int
    seconds: dict[str, float]
    prequential_accuracy: float | None
    train_accuracy: float
    generalisation_gap: float
    earlier: list[float | None]
    unlearn: dict[str, Any] | None
    mask_overlap: float | None
    mask_chance: float | None
    replayed_images: int
    calibration: dict[str, Any] | None
    robustness: dict[str, Any] | None
    environment: dict[str, Any]

    @property
    def run(self) -> Run:
        return Run(self.method, self.seed, self.budget, self.noise)

    @property
    def last(self) -> bool:
        return self.chunk == self.chunks

    def same(self, other: Record) -> bool:
        """Whether all but the seconds is equal; as JSON, where what is no number equals itself."""
        left, right = (json.dumps(replace(r, seconds={}).to_dict()) for r in (self, other))
        return left == right

    def to_dict(self) -> dict[str, Any]:
        """As strict JSON has it."""
        return {name: plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """Undo `to_dict`; raises KeyError where something is missing, and drops what is new."""
        known = {field.name: values[field.name] for field in fields(cls)}
        for field in fields(cls):
            if field.type == "float":
                known[field.name] = _number(known[field.name])
        if known["calibration"] is not None:
            known["calibration"] = _number(known["calibration"])
        return cls(**known)


def plain(value: Any) -> Any:
    """The same with None for every number that is not finite: strict JSON has no such."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _number(value: Any) -> Any:
    """The same with NaN for None, but where there are no figures: in a bin without images."""
    if isinstance(value, dict):
        empty = value.get("count") == 0
        return value if empty else {name: _number(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_number(inner) for inner in value]
    return math.nan if value is None else value


class Journal:
    """The records of an experiment in a file; one writer at a time."""

    def __init__(self, path: Path) -> None:
        """Open or begin it; a last line that a kill has torn is cut off.

        Raises:
            ConfigError: Another line is no record.
        """
        self._path = path
        self._by_run: dict[Run, dict[int, Record]] = {}
        for record in _read(path) if path.exists() else ():
            self._of(record.run)[record.chunk] = record

    def add(self, record: Record) -> bool:
        """Write it down for good; False where it is there already. Of two, the later one holds."""
        known = self._of(record.run)
        if record.chunk in known and known[record.chunk].same(record):
            return False
        line = json.dumps(record.to_dict(), allow_nan=False) + "\n"
        with self._path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        known[record.chunk] = record
        return True

    def of(self, run: Run) -> list[Record]:
        """The run's records, chunk by chunk."""
        return [record for _, record in sorted(self._of(run).items())]

    def has(self, run: Run) -> bool:
        """Whether the run is finished."""
        found = self.of(run)
        return bool(found) and len(found) == found[0].chunks

    def _of(self, run: Run) -> dict[int, Record]:
        return self._by_run.setdefault(run, {})


def _read(path: Path) -> list[Record]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    records = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            records.append(Record.from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: line {number} is no record ({error!r}); take it out, or choose "
                "another experiment.out"
            ) from error
    return records
