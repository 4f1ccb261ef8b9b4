"""Admission: an upload's items, decoded and checked, become one canonical chunk file.

The good are kept, the bad reported with their reasons; a chunk is rejected only when nothing of it
can be learned. Nothing is ever unpacked to the disk, and memory holds a few images at a time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lure_core import archive
from lure_core.chunkfile import Writer
from lure_core.config import InputSpec
from lure_core.errors import BadArchive
from lure_core.images import split_of
from store import chunks, classes, jobs, streams
from store.engine import Session
from store.errors import Away, FenceLost
from store.failpoint import failpoint
from store.models import Chunk, Stream
from store.states import ChunkState
from worker.context import Context
from worker.errors import Interrupted, Refused, is_of_the_machine
from worker.heartbeat import Heartbeat
from worker.items import Decoded, Decoder, Roster, Tally, common_shape
from worker.trail import follow, of_admission

_WOKEN_AT_ONCE = 100  # chunks that waited for the stream's shape; the sweeper wakes the rest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """The claimed rows."""

    stream: Stream
    chunk: Chunk
    taken: frozenset[str]  # classes that the stream has, or will have

    @property
    def spec(self) -> InputSpec | None:
        """The stream's input; None while it is not fixed."""
        return None if self.stream.input is None else InputSpec.from_dict(self.stream.input)

    @property
    def listed(self) -> frozenset[str] | None:
        """The stream's class list; None while its first chunk has not given it a beginning."""
        return None if self.stream.classes is None else frozenset(self.stream.classes)

    @property
    def may_bring_classes(self) -> bool:
        """Whether a label that is not listed may be learned."""
        return self.stream.open_classes or self.stream.classes is None


@dataclass(frozen=True)
class Found:
    """What was made of an upload."""

    spec: InputSpec
    digest: str
    tally: Tally


def admit(context: Context, chunk_id: str) -> chunks.Admission | None:
    """Admit or reject a chunk, if nobody else is doing it.

    Returns:
        The claim under which something was done, or None.
    """
    stale_s = context.settings.stale_s
    with context.database.begin() as session:
        claim = chunks.claim_admission(session, chunk_id, stale_s=stale_s)
        if claim is None:
            return None
        trail = of_admission(session, claim)
    with follow("chunk.admit", trail, chunk=chunk_id, attempt=claim.attempt):
        _attend(context, claim)
    return claim


def _attend(context: Context, claim: chunks.Admission) -> None:
    """Do it under a heartbeat; whatever becomes of it, the claim is no longer held after that."""
    heartbeat = Heartbeat(
        context,
        beat=lambda session: chunks.beat(session, claim),
        hand_back=lambda session: chunks.hand_back(session, claim),
    )
    try:
        with heartbeat:
            upload = _open(context, claim)
            while not _admit_or_reject(context, claim, upload, heartbeat):
                upload = _open(context, claim)  # others took places for classes meanwhile
        _wake_others(context, upload)
    except FenceLost as lost:
        log.warning("nothing more to write: %s", lost)
    except Interrupted:
        heartbeat.hand_back()
        log.info("admission handed back")
    except Away as away:
        log.warning("left to be done again: %s", away)
    except Exception as error:
        log.exception("the admission raised")
        told = None if is_of_the_machine(error) else repr(error)
        with suppress(Away):  # then the heartbeat goes stale, which is a death too
            context.transact(lambda session: chunks.hand_back(session, claim, error=told))


def _open(context: Context, claim: chunks.Admission) -> Upload:
    def read(session: Session) -> Upload:
        stream = streams.lock(session, claim.stream_id)
        chunk = chunks.fenced(session, claim)
        return Upload(stream, chunk, taken=classes.taken(session, stream))

    return context.transact(read)


def _admit_or_reject(
    context: Context, claim: chunks.Admission, upload: Upload, heartbeat: Heartbeat
) -> bool:
    """Settle what becomes of the chunk; False, with nothing written, where it is to be redone."""
    tally = Tally()
    try:
        with context.blobs.scratch() as path:
            spec = _write(context, upload, path, tally=tally, heartbeat=heartbeat)
            with path.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            context.patiently(lambda: context.blobs.put_file(path, digest))
    except (Refused, BadArchive) as refusal:
        reason = str(refusal)
        context.transact(lambda session: _reject(session, claim, reason, tally))
        log.info("chunk rejected: %s", reason, extra={"refused": tally.refused})
        return True
    found = Found(spec, digest, tally)
    admitted = context.transact(lambda session: _admit(session, claim, found))
    if admitted:
        log.info("chunk admitted", extra={"images": tally.images, "refused": tally.refused})
    return admitted


def _write(
    context: Context, upload: Upload, path: Path, *, tally: Tally, heartbeat: Heartbeat
) -> InputSpec:
    """Write the chunk file and count what goes in; the shape that its images have.

    Raises:
        Refused: Nothing can be learned from it.
        BadArchive: The envelope is not what the service saw.
    """
    limits = archive.Limits(
        max_members=context.settings.max_members,
        max_total_bytes=context.settings.max_unpacked_bytes,
    )
    listing = archive.check(_payload(context, upload), upload.chunk.media_type, limits)
    spec = upload.spec
    if spec is None:  # a first chunk is read twice: for its shape, then for its images
        spec = common_shape(_decoded(context, upload, listing, spec=None, heartbeat=heartbeat))
    shares = upload.stream.policies["holdout"]
    roster = Roster(upload.listed, set(upload.taken), classes.MAX_CLASSES)
    with Writer(path) as writer:
        for decoded in _decoded(context, upload, listing, spec=spec, heartbeat=heartbeat):
            failpoint("admit.decode")
            one = roster.check(decoded)
            if one.pixels is None:
                tally.refuse(one)
            else:
                split = split_of(one.pixels, select=shares["select"], judge=shares["judge"])
                writer.append(one.pixels, one.label, split)
                tally.keep(one, split)
        tally.check(fixes_classes=upload.listed is None and not upload.stream.open_classes)
    assert spec is not None, "a chunk with a good image has a shape"
    return spec


def _decoded(
    context: Context,
    upload: Upload,
    listing: archive.Listing,
    *,
    spec: InputSpec | None,
    heartbeat: Heartbeat,
) -> Iterator[Decoded]:
    """Each item in order; between two of them it is seen whether to go on."""
    fixed = None if upload.may_bring_classes else upload.listed
    decoder = Decoder(spec, fixed, context.settings.decoders)
    for one in decoder.each(archive.items(_payload(context, upload), listing)):
        heartbeat.check()
        yield one


def _payload(context: Context, upload: Upload) -> Path:
    """The upload as it was sent; asked for anew where it is opened, which may be much later."""
    return context.local(upload.chunk.digest)


def _admit(session: Session, claim: chunks.Admission, found: Found) -> bool:
    stream = streams.lock(session, claim.stream_id)
    chunk = chunks.fenced(session, claim)
    listed, taken = found.tally.class_list(), classes.taken(session, stream)
    if not taken.issuperset(listed) and len(taken.union(listed)) > classes.MAX_CLASSES:
        return False
    streams.fix_shape(stream, classes=listed, input_spec=found.spec.to_dict())
    report = found.tally.report()
    chunks.admit(session, stream, chunk, file_digest=found.digest, report=report)
    return True


def _reject(session: Session, claim: chunks.Admission, reason: str, tally: Tally) -> None:
    stream = streams.lock(session, claim.stream_id)
    chunk = chunks.fenced(session, claim)
    chunks.reject(session, stream, chunk, reason, report=tally.report())


def _wake_others(context: Context, upload: Upload) -> None:
    """Wake the stream's cycle, and the chunks that waited for this one to fix the shape."""
    context.wake(jobs.PROCESS_NEXT, upload.stream.id)
    if streams.shape_is_fixed(upload.stream):
        return
    waiting = context.transact(
        lambda session: chunks.waiting(session, upload.stream, limit=_WOKEN_AT_ONCE)
    )
    for chunk in waiting:
        if chunk.state is ChunkState.RECEIVED:
            context.wake(jobs.ADMIT_CHUNK, chunk.id)
