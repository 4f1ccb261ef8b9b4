"""Feedback chunks: images whose labels came later go the way of any other chunk.

Bytes, row, wake-up, in that order. The row and the marks on its labels are one transaction: before
it nothing has happened, and whoever comes next does it again; after it the labels are no longer
open, and the chunk waits for admission like an upload.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from lure_core import policies
from lure_core.archive import ZIP, writing
from store import chunks, feedback, jobs, packfile, packs, streams
from store.chunks import Payload
from store.engine import Session
from store.errors import BadPack, BlobDamaged, BlobMissing
from store.failpoint import failpoint
from store.feedback import Backlog
from store.models import Chunk, Feedback, Stream
from store.packfile import Record
from store.predictions import place_of
from worker.apart import apart
from worker.context import Context

_MOST_IMAGES = 100_000
_MOST_BYTES = 1 << 30  # of the images of one chunk; what is beyond joins the next

log = logging.getLogger(__name__)


def close_due(context: Context) -> list[str]:
    """Close a chunk for each stream whose open labels are many or old enough; the chunks' ids."""
    with context.database.begin() as session:
        backlogs = feedback.backlogs(session)
    closed = []
    for backlog in backlogs:
        with apart(backlog.stream, "the feedback cannot be closed"):
            if _is_due(backlog):
                closed.append(close(context, backlog.stream))
    return [chunk_id for chunk_id in closed if chunk_id is not None]


def close(context: Context, stream: Stream) -> str | None:
    """Make a chunk of the stream's open labels, those that came first.

    Returns:
        Its id; None where there is none to make, or some label changed meanwhile.
    """
    most = min(_MOST_IMAGES, context.settings.max_members - 1)  # the table is a member too
    with context.database.begin() as session:
        rows = feedback.oldest_open(session, stream, limit=most)
    labels: dict[str, str] = {}
    with context.blobs.scratch() as path:
        writing.write(path, _images(context, rows, labels))
        if not labels:
            return None
        payload = _payload(path)
        context.patiently(lambda: context.blobs.put_file(path, payload.digest))
    failpoint("feedback.stored")
    with context.database.begin() as session:
        chunk = _hand_on(session, stream, labels, payload)
    failpoint("feedback.committed")
    if chunk is None:
        return None
    context.wake(jobs.ADMIT_CHUNK, chunk.id)
    log.info("feedback closed", extra={"stream": stream.name, "chunk": chunk.id})
    return chunk.id


def expire(context: Context) -> int:
    """Forget the predictions that no stream's policy keeps any longer; how many packs."""
    with context.database.begin() as session:
        owners = packs.owners(session)
    gone = 0
    for stream in owners:
        with apart(stream, "the predictions cannot be forgotten"):
            gone += _expire(context, stream)
    return gone


def _is_due(backlog: Backlog) -> bool:
    wanted = policies.policy(policies.Feedback, backlog.stream.policies)
    return backlog.images >= wanted.close_images or backlog.age_s >= wanted.close_s


def _expire(context: Context, stream: Stream) -> int:
    kept = policies.policy(policies.Feedback, stream.policies)
    room = kept.max_bytes if kept.enabled else 0
    with context.database.begin() as session:
        until = packs.horizon(session, stream, keep_s=kept.keep_s, max_bytes=room)
    gone = some = _expire_some(context, stream, until)
    while some == packs.AT_ONCE:
        some = _expire_some(context, stream, until)
        gone += some
    return gone


def _expire_some(context: Context, stream: Stream, until: dt.datetime) -> int:
    with context.database.begin() as session:
        return packs.expire(session, streams.lock(session, stream.id), until)


def _images(
    context: Context, rows: Sequence[Feedback], labels: dict[str, str]
) -> Iterator[tuple[str, str, bytes]]:
    """Each image with its name and label, a pack at a time; `labels` grows by what was given."""
    room = min(_MOST_BYTES, context.settings.max_unpacked_bytes // 2)
    for pack_id, group in groupby(rows, key=lambda row: row.pack_id):
        assert pack_id is not None, "an open label has a pack"
        records = _records(context, pack_id)
        for row in group if records else ():
            place = place_of(row.prediction_id)
            assert place is not None, "labels are given to ids of ours alone"
            image = records[place.index].image
            room -= len(image)
            if room < 0:
                return
            labels[row.prediction_id] = row.label
            yield row.prediction_id, row.label, image


def _records(context: Context, pack_id: str) -> list[Record]:
    """What the pack holds; none where it is lost, then its labels are never tried again."""
    with context.database.begin() as session:
        pack = packs.by_ids(session, [pack_id]).get(pack_id)
    if pack is None:  # another worker closed its labels, and it expired
        return []
    try:
        return packfile.unpack(context.read(pack.digest))
    except (BlobMissing, BlobDamaged, BadPack):
        log.exception("a pack of predictions is lost", extra={"pack": pack_id})
        with context.database.begin() as session:
            streams.lock(session, pack.stream_id)
            packs.forget(session, pack_id)
        return []


def _payload(path: Path) -> Payload:
    with path.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    return Payload(digest, ZIP, path.stat().st_size)


def _hand_on(
    session: Session, stream: Stream, labels: dict[str, str], payload: Payload
) -> Chunk | None:
    """The chunk's row and the marks on its labels; None, with nothing written, if one changed."""
    row = streams.lock(session, stream.id)
    if not feedback.is_current(session, row, labels):
        return None
    chunk, _ = chunks.add(session, row, payload)
    feedback.join(session, row, labels, chunk)
    return chunk
