"""Which rows name which bytes, and as what: for quotas, metrics and `lure fsck`.

The collector asks the other way round, blob by blob; see `store.garbage`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, String, Subquery, cast, literal, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from store.models import Artifact, Chunk, Cycle, Pack, Rerun, Stream, Version
from store.states import ACTIVE, VersionState


class Kind(StrEnum):
    """What bytes are to the row that names them."""

    UPLOAD = "upload"
    CHUNK_FILE = "chunk_file"
    WEIGHTS = "weights"
    SIDECAR = "sidecar"
    MASK = "mask"
    SCORES = "scores"
    EXPORT = "export"
    PREDICTIONS = "predictions"
    RESUME_STATE = "resume_state"
    RERUN_STATE = "rerun_state"


@dataclass(frozen=True)
class Name:
    """A row's name for bytes.

    Attributes:
        kind: What they are to it.
        stream_id: Its stream.
        stream: The stream's name.
        key: The row within: the id of a chunk, pack, cycle or rerun, or a version's number.
    """

    kind: Kind
    stream_id: int
    stream: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} of {self.stream}/{self.key}"


def every(session: Session) -> Iterator[tuple[str, Name]]:
    """Each digest that a row names, with that name; several may name the same."""
    named = names()
    rows = session.execute(
        _with_streams(named).order_by(named.c.digest).execution_options(yield_per=5000)
    )
    for kind, stream_id, stream, key, digest in rows:
        yield digest, Name(Kind(kind), stream_id, stream, key)


def of(session: Session, digest: str) -> list[Name]:
    """The names of some bytes."""
    rows = session.execute(_with_streams(names(digest=digest)))
    return [Name(Kind(kind), stream_id, stream, key) for kind, stream_id, stream, key, _ in rows]


def names(*, stream_id: int | None = None, digest: str | None = None) -> Subquery:
    """All names, of a stream or of some bytes if so wanted: kind, stream_id, key and digest."""
    found = list(parts(stream_id=stream_id).values())
    if digest is not None:
        found = [part.where(_column(part, "digest") == digest) for part in found]
    return union_all(*found).subquery("names")


def parts(*, stream_id: int | None = None) -> dict[Kind, Select[Any]]:
    """The names of each kind; see `names`."""
    has_weights = Version.state != VersionState.WEIGHTS_DELETED
    found = {
        Kind.UPLOAD: _part(Kind.UPLOAD, Chunk.id, Chunk.digest),
        Kind.CHUNK_FILE: _part(Kind.CHUNK_FILE, Chunk.id, Chunk.file_digest),
        Kind.WEIGHTS: _part(Kind.WEIGHTS, Version.version, Version.digest, has_weights),
        Kind.SIDECAR: _part(Kind.SIDECAR, Version.version, Version.sidecar_digest),
        Kind.MASK: _part(Kind.MASK, Version.version, Version.mask_digest),
        Kind.SCORES: _part(Kind.SCORES, Version.version, Version.scores_digest),
        Kind.EXPORT: _part(Kind.EXPORT, Artifact.version, Artifact.digest),
        Kind.PREDICTIONS: _part(Kind.PREDICTIONS, Pack.id, Pack.digest),
        Kind.RESUME_STATE: _part(
            Kind.RESUME_STATE, Cycle.id, Cycle.resume_digest, Cycle.state.in_(ACTIVE)
        ),
        Kind.RERUN_STATE: _part(Kind.RERUN_STATE, Rerun.id, Rerun.resume_digest),
    }
    if stream_id is None:
        return found
    return {
        kind: part.where(_column(part, "stream_id") == stream_id) for kind, part in found.items()
    }


def _part(
    kind: Kind,
    key: InstrumentedAttribute[Any],
    digest: InstrumentedAttribute[Any],
    *conditions: ColumnElement[bool],
) -> Select[Any]:
    return select(
        literal(kind.value).label("kind"),
        key.class_.stream_id.label("stream_id"),
        cast(key, String).label("key"),
        digest.label("digest"),
    ).where(digest.is_not(None), *conditions)


def _column(part: Select[Any], name: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = part.selected_columns[name]
    return column


def _with_streams(named: Subquery) -> Select[Any]:
    columns = named.c
    found = select(columns.kind, columns.stream_id, Stream.name, columns.key, columns.digest)
    return found.join(Stream, Stream.id == columns.stream_id)
