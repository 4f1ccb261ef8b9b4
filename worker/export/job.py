"""What the exporting process is told, and what it answers: two small JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        stream: Name of the version's stream.
        version: Its number.
        weights: Path of its weights.
        sidecar: Path of their sidecar.
        chunks: Paths of chunk files; on their images the export is compared with the version.
        packages: Models of one's own that may be imported.
        file: Path to write the export to.
        answer: Path to write the answer to.
    """

    stream: str
    version: int
    weights: str
    sidecar: str
    chunks: list[str]
    packages: list[str]
    file: str
    answer: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Job:
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Answer:
    """How far the export agrees with the version, and why it is refused, if it is."""

    report: dict[str, Any] | None
    error: str | None = None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Answer:
        return cls(**json.loads(path.read_text()))
