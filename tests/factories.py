"""Rows for tests that need some to stand on; whole paths are tested over HTTP instead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from store import aliases, chunks, classes, cycles, streams, versions
from store.engine import Database
from store.models import Blob, Chunk, Stream, Version
from store.states import Stage, VersionState

POLICIES: dict[str, Any] = {
    "trigger": {"max_chunks": 1},
    "replay": {"kind": "full"},
    "unlearn": {"strategy": "lure", "fraction": 0.2},
    "gate": {"tolerance": 0.02, "min_judge": 50},
    "holdout": {"select": 0.05, "judge": 0.05},
}


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def blob(database: Database, content: str) -> str:
    """The digest of some content, with the row of a blob; the bytes are not stored."""
    digest = digest_of(content)
    row = insert(Blob).values(digest=digest, size_bytes=1, keep_s=3600)
    with database.begin() as session:
        session.execute(row.on_conflict_do_nothing())
    return digest


def create_stream(database: Database, name: str = "digits", **fields: Any) -> Stream:
    """A stream; classes and input open unless given."""
    values = {"architecture": "resnet20s", "recipe": {}, "policies": POLICIES, "seed": 0} | fields
    with database.begin() as session:
        return streams.add(session, Stream(name=name, **values))


def create_chunk(database: Database, stream: Stream, content: str = "a", **fields: Any) -> Chunk:
    """A received chunk; its bytes are not stored."""
    values = {"digest": blob(database, content), "media_type": "application/zip", "size_bytes": 1}
    with database.begin() as session:
        chunk, _ = chunks.add(session, stream, chunks.Payload(**(values | fields)))
    return chunk


def admit_chunk(
    database: Database, stream: Stream, chunk: Chunk, labels: Sequence[str] = ("0", "1")
) -> Chunk:
    """Take a received chunk to `admitted` as a worker would; its file is not stored."""
    report = {"images": 10, "refused": 0, "items": [], "classes": dict.fromkeys(labels, 5)}
    file_digest = blob(database, chunk.id)
    with database.begin() as session:
        claim = chunks.claim_admission(session, chunk.id, stale_s=10)
        assert claim is not None, "another chunk must be admitted first"
        locked = streams.lock(session, stream.id)
        row = chunks.fenced(session, claim)
        streams.fix_shape(
            locked,
            classes=classes.in_order(labels),
            input_spec={"channels": 1, "height": 8, "width": 8},
        )
        chunks.admit(session, locked, row, file_digest=file_digest, report=report)
    return row


def fail_a_cycle(database: Database, stream: Stream, content: str = "a") -> None:
    """A chunk whose cycle gave up while it loaded."""
    admit_chunk(database, stream, create_chunk(database, stream, content))
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="test", stale_s=10)
        assert claim is not None
        cycles.enter(session, stream, claim, Stage.LOAD)
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        cycles.fail(session, locked, cycles.fenced(session, claim), "planted")


def create_version(
    database: Database, stream: Stream, *, champion: bool = True, **fields: Any
) -> Version:
    """A chunk, its cycle and the version it made; champion unless told otherwise."""
    with database.begin() as session:
        number = streams.get(session, stream.name).next_position
    chunk = create_chunk(database, stream, f"{stream.name}/{number}")
    admit_chunk(database, stream, chunk)
    weights, sidecar = (blob(database, f"{chunk.id}/{part}") for part in ("weights", "sidecar"))
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="factory", stale_s=10)
        assert claim is not None
        locked = streams.lock(session, stream.id)
        cycle = cycles.fenced(session, claim)
        values: dict[str, Any] = {
            "cycle_id": cycle.id,
            "parent": cycle.parent,
            "ordinal": cycle.ordinal,
            "chunks": [chunk.id],
            "strategy": cycle.strategy,
            "state": VersionState.READY,
            "metrics": {"accuracy": 0.9},
            "verdict": {"outcome": "unjudged"},
            "environment": {},
            "digest": weights,
            "sidecar_digest": sidecar,
            "size_bytes": 1,
        }
        version = versions.add(session, locked, Version(**(values | fields)))
        if champion:
            move = aliases.Move(version.version, "factory", "made for a test")
            aliases.move(session, locked, aliases.CHAMPION, move)
        cycles.succeed(session, locked, cycle, version=version.version, prequential=None)
    return version


def with_inputs(database: Database, stream: Stream, **fields: Any) -> Version:
    """A version that knows what it was made from, so that it can be run again."""
    return create_version(database, stream, config={}, **fields)
