"""What collections of garbage would delete, now and later; nothing is deleted here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from store import garbage, packs, retention, streams
from store.blobs import KEEP_RESUME_S, Blobs
from store.engine import Database, Session
from store.models import Stream

NOW = "now"  # by `lure gc`, or the workers' next collection
LATER = "later"  # once nobody may want to name it any more
BY_POLICY = "by policy"  # by the workers, which keep each stream's policies


@dataclass(frozen=True)
class Due:
    """Some of what will go.

    Attributes:
        when: `NOW`, `LATER` or `BY_POLICY`.
        kind: What it is, in words.
        count: How many there are.
        size_bytes: How large they are together.
    """

    when: str
    kind: str
    count: int
    size_bytes: int

    def shown(self) -> dict[str, Any]:
        return asdict(self)


def forecast(database: Database, blobs: Blobs) -> list[Due]:
    """What would go if it were collected in this moment."""
    with database.begin() as session:
        found = [*_unnamed(session), *_by_policy(session)]
    aside = blobs.discarded()
    stale = garbage.stale_scratch(blobs)
    found.append(Due(NOW, "put aside by collectors that died", len(aside), 0))
    found.append(
        Due(NOW, "files of dead processes here", len(stale), sum(size for _, size in stale))
    )
    return [due for due in found if due.count]


def _unnamed(session: Session) -> Iterator[Due]:
    for keep_s, is_over, count, size_bytes in garbage.unnamed(session):
        yield Due(NOW if is_over else LATER, _kind(keep_s), count, size_bytes)


def _kind(keep_s: int) -> str:
    """What a blob was is not written down; how long it is kept tells."""
    if keep_s <= packs.KEEP_S:
        return "predictions"
    return "resume states" if keep_s == KEEP_RESUME_S else "uploads, chunk files, versions, exports"


def _by_policy(session: Session) -> Iterator[Due]:
    weights, predictions = [], []
    for stream in streams.every(session):
        keep = stream.policies.get("retention", {}).get("versions")
        if keep:
            weights.append(retention.beyond(session, stream, keep=keep))
        if "feedback" in stream.policies:
            predictions.append(_expired(session, stream))
    for kind, found in (("weights of versions", weights), ("predictions", predictions)):
        counts, sizes = zip(*found, strict=True) if found else ((), ())
        yield Due(BY_POLICY, kind, sum(counts), sum(sizes))


def _expired(session: Session, stream: Stream) -> tuple[int, int]:
    kept = stream.policies["feedback"]
    room = kept["max_bytes"] if kept["enabled"] else 0
    until = packs.horizon(session, stream, keep_s=kept["keep_s"], max_bytes=room)
    return packs.over(session, stream, until)
