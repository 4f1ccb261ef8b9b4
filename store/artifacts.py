"""A version in other formats: asked for once, made by whichever worker claims it, then kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from store import streams, versions
from store.blobs import pin
from store.errors import Conflict, FenceLost, NotFound
from store.locks import locked
from store.models import Artifact, Json, Stream
from store.states import ArtifactState, VersionState

ONNX = "onnx"
KINDS = (ONNX,)
MAX_DEATHS = 3  # of the processes that made one, before it is to blame


@dataclass(frozen=True)
class Claim:
    """A worker's claim to make an artifact; `attempt` is its fence."""

    stream_id: int
    version: int
    kind: str
    attempt: int


@dataclass(frozen=True)
class Made:
    """What was made: the sha256 and size of its bytes, and how far it agrees with the version."""

    digest: str
    size_bytes: int
    report: Json


def get(session: Session, stream: Stream, version: int, kind: str) -> Artifact | None:
    """The artifact, if it was ever asked for."""
    return session.get(Artifact, (stream.id, version, kind))


def of_version(session: Session, stream: Stream, version: int) -> Sequence[Artifact]:
    """All that were ever asked for, by kind."""
    query = select(Artifact).where(Artifact.stream_id == stream.id, Artifact.version == version)
    return session.scalars(query.order_by(Artifact.kind)).all()


def ask(session: Session, stream: Stream, version: int, kind: str) -> tuple[Artifact, bool]:
    """The artifact; one that nobody asked for before is queued.

    Returns:
        It, and whether it was asked for before.

    Raises:
        NotFound: There is no such version.
        Conflict: The version has no weights any more, or may not be used.
    """
    if known := get(session, stream, version, kind):
        return known, True
    stream = streams.lock(session, stream.id)  # the weights may not be deleted meanwhile
    if known := get(session, stream, version, kind):
        return known, True
    state = versions.get(session, stream, version).state
    if state is not VersionState.READY:
        raise Conflict(f"version {version} is {state} and cannot be exported")
    artifact = Artifact(stream_id=stream.id, version=version, kind=kind, state=ArtifactState.QUEUED)
    session.add(artifact)
    session.flush()
    return artifact, False


def retry(session: Session, stream: Stream, version: int, kind: str) -> Artifact:
    """Queue a failed artifact once more.

    Raises:
        NotFound: It was never asked for.
        Conflict: It has not failed.
    """
    artifact = session.scalar(locked(select(Artifact).where(_is(stream.id, version, kind))))
    if artifact is None:
        raise NotFound("artifact", kind)
    if artifact.state is not ArtifactState.FAILED:
        raise Conflict(f"{kind} of version {version} is {artifact.state}; it has not failed")
    artifact.state = ArtifactState.QUEUED
    artifact.deaths = 0
    artifact.error = artifact.report = None
    return artifact


def make_again(session: Session, stream_id: int, version: int, digest: str) -> None:
    """Queue those that are ready and have the bytes of that digest, which are lost."""
    is_it = Artifact.stream_id == stream_id, Artifact.version == version, Artifact.digest == digest
    nothing = {"digest": None, "size_bytes": None, "report": None, "error": None, "made_at": None}
    queued = {"state": ArtifactState.QUEUED, "deaths": 0, "heartbeat_at": None}
    session.execute(update(Artifact).where(*is_it).values(**queued, **nothing))


def claim(
    session: Session, stream_id: int, version: int, kind: str, *, stale_s: float
) -> Claim | None:
    """Claim a queued artifact for this worker; None while another makes it, or when it is done."""
    free = locked(select(Artifact).where(_is(stream_id, version, kind), _is_free(stale_s)))
    artifact = session.scalar(free)
    if artifact is None:
        return None
    if artifact.heartbeat_at is not None:  # a heartbeat that went stale is a death
        artifact.deaths += 1
    if artifact.deaths >= MAX_DEATHS:
        last = f", the last time with: {artifact.error}" if artifact.error else ""
        _end(artifact, ArtifactState.FAILED)
        artifact.error = f"it could not be made {artifact.deaths} times{last}"
        return None
    artifact.attempt += 1
    artifact.heartbeat_at = func.clock_timestamp()
    session.flush()
    return Claim(stream_id, version, kind, artifact.attempt)


def beat(session: Session, claim: Claim) -> bool:
    """Renew the claim; False when it was handed to another."""
    beaten = session.scalar(
        update(Artifact)
        .where(_is_held(claim))
        .values(heartbeat_at=func.clock_timestamp())
        .returning(Artifact.attempt)
    )
    return beaten is not None


def hand_back(session: Session, claim: Claim, *, error: str | None = None) -> None:
    """End the claim on purpose: the artifact is free at once. An error counts as a death."""
    failure = {} if error is None else {"error": error, "deaths": Artifact.deaths + 1}
    session.execute(
        update(Artifact)
        .where(_is_held(claim))
        .values(heartbeat_at=None, attempt=Artifact.attempt + 1, **failure)
    )


def ready(session: Session, claim: Claim, made: Made) -> None:
    """Its bytes are stored and were checked.

    Raises:
        FenceLost: The claim was handed to another worker, or the weights were deleted.
        BlobMissing: The bytes were collected meanwhile.
    """
    artifact = _fenced(session, claim)
    pin(session, made.digest)
    artifact.digest, artifact.size_bytes = made.digest, made.size_bytes
    artifact.report, artifact.error = made.report, None
    artifact.made_at = func.clock_timestamp()
    _end(artifact, ArtifactState.READY)


def fail(session: Session, claim: Claim, error: str, report: Json | None = None) -> None:
    """It cannot be made, however often it is tried; `report` as in `Made`, if it came so far."""
    artifact = _fenced(session, claim)
    artifact.error, artifact.report = error, report
    _end(artifact, ArtifactState.FAILED)


def unattended(session: Session, *, stale_s: float) -> list[tuple[int, int, str]]:
    """Stream, version and kind of the queued artifacts that no live worker holds, oldest first."""
    query = select(Artifact).where(_is_free(stale_s)).order_by(Artifact.requested_at)
    return [(one.stream_id, one.version, one.kind) for one in session.scalars(query)]


def _end(artifact: Artifact, state: ArtifactState) -> None:
    artifact.state = state
    artifact.heartbeat_at = None


def _fenced(session: Session, claim: Claim) -> Artifact:
    artifact = session.scalar(locked(select(Artifact).where(_is_held(claim))))
    if artifact is None:
        raise FenceLost(f"{claim.kind} of version {claim.version} is no longer this worker's")
    return artifact


def _is(stream_id: int, version: int, kind: str) -> ColumnElement[bool]:
    return and_(Artifact.stream_id == stream_id, Artifact.version == version, Artifact.kind == kind)


def _is_held(claim: Claim) -> ColumnElement[bool]:
    return and_(
        _is(claim.stream_id, claim.version, claim.kind),
        Artifact.attempt == claim.attempt,
        Artifact.state == ArtifactState.QUEUED,
    )


def _is_free(stale_s: float) -> ColumnElement[bool]:
    horizon = func.clock_timestamp() - dt.timedelta(seconds=stale_s)
    unheard = (Artifact.heartbeat_at.is_(None)) | (Artifact.heartbeat_at < horizon)
    return and_(Artifact.state == ArtifactState.QUEUED, unheard)
