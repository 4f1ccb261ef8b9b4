"""Chunks: the bytes, the row, the wake-up call, in that order, each safe to lose the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
import structlog
from fastapi import APIRouter, Depends, Header, Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from lure_core import archive
from lure_core.errors import BadArchive
from service import errors, idempotency, ingest, waiting
from service.bounded import JsonRoute
from service.deps import BlobsDep, ChecksDep, DatabaseDep, QueueDep, SettingsDep, SpaceDep
from service.headers import sent
from service.idempotency import KeyDep
from service.ingest import Upload
from service.openapi import refusals
from service.params import ChunkId, PageSize, PageToken, StreamName, number_of
from service.schemas.chunks import ChunkShape, ReportShape
from service.schemas.common import Page, page_of
from service.space import Room
from store import answers, chunks, streams, traces, tracing
from store.errors import BlobsAway, Conflict, KeyReused, NotFound
from store.failpoint import failpoint
from store.models import Answer
from store.states import ChunkState

router = APIRouter(prefix="/v1/streams/{stream}/chunks", tags=["chunks"], route_class=JsonRoute)

_FOLLOWED = sent("Location", "Retry-After")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}},
    "required": ["file"],
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A zip of `<class>/<file>`; a zip of files and a `labels.csv` with columns"
        " `file` and `label`; or an .npz of `images` (uint8) and `labels`",
        "content": {
            "application/zip": _BINARY,
            "application/x-npz": _BINARY,
            "multipart/form-data": {"schema": _FORM},
        },
    }
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Came:
    """How an upload came: to which stream, with which idempotency key, within which trace."""

    stream: str
    key: str | None
    traceparent: str


@dataclass(frozen=True)
class Intake:
    """What an upload goes through."""

    settings: SettingsDep
    database: DatabaseDep
    blobs: BlobsDep
    queue: QueueDep
    checks: ChecksDep
    space: SpaceDep


@router.post(
    "",
    status_code=202,
    response_model=ChunkShape,
    responses=refusals(
        NotFound,
        BadArchive,
        KeyReused,
        errors.EmptyBody,
        errors.WrongDigest,
        errors.UnsupportedMediaType,
        errors.TooLarge,
        errors.TooSlow,
        errors.DiskFull,
        errors.QuotaUsedUp,
        BlobsAway,
        _200={"model": ChunkShape, "description": "These bytes were here already", **_FOLLOWED},
        _202={"description": "The bytes are safe", **_FOLLOWED},
    ),
    openapi_extra=_BODY,
    summary="Send labelled images",
)
async def upload_chunk(
    request: Request,
    stream: StreamName,
    key: KeyDep,
    intake: Annotated[Intake, Depends()],
    prefer: Annotated[str | None, Header(description="`wait=N`: for admission, N ≤ 60 s")] = None,
) -> JSONResponse:
    """The answer comes when the bytes are safe; admission and learning follow by themselves."""
    room = await run_in_threadpool(_check_welcome, intake, stream, request)
    # in a thread: to unlink a refused upload of gigabytes takes a while
    async with contextmanager_in_threadpool(intake.blobs.scratch()) as path:
        with tracing.span("chunk.receive") as span:
            upload = await ingest.receive(request, path, intake.settings, room)
            span.set(size_bytes=upload.size_bytes)
        await anyio.to_thread.run_sync(_check, intake, upload, limiter=intake.checks)
        came = Came(stream, key, traceparent=request.scope["traceparent"])
        with tracing.span("chunk.store"):
            answer, replayed = await run_in_threadpool(_accept, intake, came, upload)
    response = idempotency.response(answer, replayed=replayed)
    if (seconds := waiting.seconds_of(prefer)) is not None:
        answer.body = await _settled(intake, stream, answer.body, seconds)
        response = idempotency.response(answer, replayed=replayed)
        response.headers["preference-applied"] = f"wait={seconds}"
    response.headers["retry-after"] = "1"
    return response


def _check_welcome(intake: Intake, stream: str, request: Request) -> Room:
    """Refuse what can be refused before the body is taken; the room that it has."""
    with intake.database.begin() as session:
        row = streams.get(session, stream)
    room = intake.space.room(row)
    ingest.check_head(request.headers, intake.settings, room)
    return room


def _check(intake: Intake, upload: Upload) -> None:
    """Refuse an archive by its listing; that takes seconds and 100 MB for the largest."""
    settings = intake.settings
    limits = archive.Limits(
        max_members=settings.max_members, max_total_bytes=settings.max_unpacked_bytes
    )
    archive.check(upload.path, upload.media_type, limits)


def _accept(intake: Intake, came: Came, upload: Upload) -> tuple[Answer, bool]:
    """Keep an upload that lies on the disk; returns the answer, and whether it is an old one."""
    stream, key = came.stream, came.key
    scope = f"POST /v1/streams/{stream}/chunks"
    if key:
        with intake.database.begin() as session:
            if old := answers.find(session, scope=scope, key=key, fingerprint=upload.digest):
                return old, True
    with ingest.telling_full():
        intake.blobs.put_file(upload.path, upload.digest)
    failpoint("upload.stored")
    payload = chunks.Payload(upload.digest, upload.media_type, upload.size_bytes)
    with intake.database.begin() as session:
        row = streams.get(session, stream)
        chunk, duplicate = chunks.add(session, row, payload)
        if not duplicate:
            traces.keep(session, chunk.id, came.traceparent)
        answer = Answer(
            scope=scope,
            key=key,
            fingerprint=upload.digest,
            status=200 if duplicate else 202,
            location=f"/v1/streams/{stream}/chunks/{chunk.id}",
            body=ChunkShape.of(chunk, stream, duplicate=duplicate).model_dump(mode="json"),
        )
        kept = answers.keep(session, answer) if key else answer
    failpoint("upload.committed")
    if not duplicate:
        intake.space.took(row, upload.size_bytes)
    intake.queue.admit(chunk.id)
    log.info("chunk received", stream=stream, chunk=chunk.id, duplicate=duplicate)
    return kept, False


async def _settled(
    intake: Intake, stream: str, body: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """The chunk once it is admitted or rejected, or as it is when the time is over."""
    chunk = await waiting.settled(
        partial(get_chunk, stream, body["id"], intake.database),
        lambda chunk: chunk.state is not ChunkState.RECEIVED,
        seconds=seconds,
    )
    if chunk is None:
        return body
    return chunk.model_dump(mode="json") | {"duplicate": body["duplicate"]}


@router.get("", responses=refusals(NotFound), summary="The stream's chunks, newest first")
def list_chunks(
    stream: StreamName,
    database: DatabaseDep,
    state: ChunkState | None = None,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[ChunkShape]:
    with database.begin() as session:
        row = streams.get(session, stream)
        before = number_of(page_token)
        page = chunks.page(session, row, size=page_size, before=before, state=state)
    return page_of(page, lambda chunk: ChunkShape.of(chunk, stream))


@router.get("/{chunk}", responses=refusals(NotFound), summary="One chunk")
def get_chunk(stream: StreamName, chunk: ChunkId, database: DatabaseDep) -> ChunkShape:
    with database.begin() as session:
        row = chunks.get(session, streams.get(session, stream), chunk)
    return ChunkShape.of(row, stream)


@router.get(
    "/{chunk}/report",
    responses=refusals(NotFound, Conflict),
    summary="What admission found in a chunk",
)
def get_chunk_report(stream: StreamName, chunk: ChunkId, database: DatabaseDep) -> ReportShape:
    with database.begin() as session:
        row = chunks.get(session, streams.get(session, stream), chunk)
    if row.state is ChunkState.RECEIVED:
        raise Conflict(f"chunk {chunk} waits for its admission; it has no report yet")
    return ReportShape.of(row)


@router.post(
    "/{chunk}:release",
    responses=refusals(NotFound, Conflict),
    summary="Put a failed chunk back in line, at the stream's end",
)
def release_chunk(
    stream: StreamName, chunk: ChunkId, database: DatabaseDep, queue: QueueDep
) -> ChunkShape:
    with database.begin() as session:
        owner = streams.get(session, stream)
        row = chunks.release(session, owner, chunk)
    queue.process(owner.id)
    return ChunkShape.of(row, stream)
