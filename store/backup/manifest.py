"""What a backup says of itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

FORMAT: Final = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Table(_Record):
    """The rows of a table, as PostgreSQL's COPY wrote them, compressed.

    Attributes:
        columns: In the order of the file; computed columns are left out.
        sha256: Of the file.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


class Sequence(_Record):
    """Where the numbers of a column go on: after `last`, and after the greatest that is there."""

    table: str
    column: str
    last: int


class Bytes(_Record):
    """The blobs that the rows name; they are listed in a file.

    Attributes:
        sha256: Of the list.
        missing: Digests without bytes, or with wrong ones, when the backup was taken.
    """

    count: int
    size_bytes: int
    sha256: str
    missing: tuple[str, ...]


class Manifest(_Record):
    """A whole backup: this is written last.

    Attributes:
        id: Its moment; later ones sort behind earlier ones.
        lure: The release that took it.
        revision: Of the schema, as Alembic names it.
        taken_at: The moment of its rows, by the database's clock.
        tables: In an order in which they can be filled.
    """

    format: Literal[1]
    id: str
    lure: str
    revision: str
    taken_at: dt.datetime
    tables: tuple[Table, ...]
    sequences: tuple[Sequence, ...]
    blobs: Bytes

    @property
    def rows(self) -> int:
        """How many rows it has in all."""
        return sum(table.rows for table in self.tables)


def read(path: Path) -> Manifest:
    """The manifest in that file.

    Raises:
        ValueError: It is damaged, or written by a later release.
    """
    return Manifest.model_validate_json(path.read_bytes())
