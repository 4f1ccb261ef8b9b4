"""Streams: made, read, and their settings changed."""

from __future__ import annotations

import hashlib
import json

import structlog
from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from service import blueprint, idempotency
from service.bounded import JsonRoute
from service.caller import CallerDep
from service.deps import DatabaseDep, SettingsDep
from service.errors import PreconditionRequired
from service.headers import sent
from service.idempotency import KeyDep
from service.openapi import JSON_BODY, refusals
from service.params import PageSize, PageToken, StreamName, key_of
from service.preconditions import etag
from service.schemas.common import Page, page_of
from service.schemas.streams import NewStream, StreamPatch, StreamShape
from store import aliases, answers, replicas, streams
from store.engine import Database, Session
from store.errors import AlreadyExists, Conflict, KeyReused, NotFound, PreconditionFailed
from store.models import Answer, Stream
from store.settings import StoreSettings

router = APIRouter(prefix="/v1/streams", tags=["streams"], route_class=JsonRoute)

_SCOPE = "POST /v1/streams"
_TAGGED = {"description": "As it is now", **sent("ETag")}

log = structlog.get_logger(__name__)


@router.post(
    "",
    status_code=201,
    response_model=StreamShape,
    responses=refusals(
        AlreadyExists,
        KeyReused,
        *JSON_BODY,
        _201={"description": "It is made", **sent("ETag", "Location")},
    ),
    summary="Make a stream",
)
def create_stream(
    wanted: NewStream, key: KeyDep, database: DatabaseDep, settings: SettingsDep
) -> JSONResponse:
    """`{"name": "x"}` is enough: classes and input size then come from the first chunk."""
    stream = blueprint.stream_of(wanted, packages=settings.packages)
    fingerprint = _fingerprint(wanted)
    if key and (earlier := _earlier(database, key, fingerprint)):
        return idempotency.response(earlier, replayed=True)
    try:
        answer = _add(database, settings, stream, key=key, fingerprint=fingerprint)
    except AlreadyExists:
        # the same request in the same instant: its answer is there now
        if key and (earlier := _earlier(database, key, fingerprint)):
            return idempotency.response(earlier, replayed=True)
        raise
    log.info("stream created", stream=wanted.name)
    response = idempotency.response(answer, replayed=False)
    response.headers["etag"] = etag(stream.revision)
    return response


@router.get("", responses=refusals(), summary="All streams, newest first")
def list_streams(
    database: DatabaseDep,
    settings: SettingsDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[StreamShape]:
    with database.begin() as session:
        page = streams.page(session, size=page_size, before=key_of(page_token))
        champions = aliases.champion_versions(session, page.items)
        serving = replicas.by_stream(session, page.items, stale_s=settings.stale_s)
    return page_of(page, lambda row: StreamShape.of(row, champions.get(row.id), serving[row.id]))


@router.get("/{stream}", responses=refusals(NotFound, _200=_TAGGED), summary="One stream")
def get_stream(
    stream: StreamName, database: DatabaseDep, settings: SettingsDep, response: Response
) -> StreamShape:
    """Its ETag is that of recipe and policies, which can be changed."""
    with database.begin() as session:
        row = streams.get(session, stream)
        shape = _shape(session, row, settings)
    response.headers["etag"] = etag(row.revision)
    return shape


@router.patch(
    "/{stream}",
    responses=refusals(
        NotFound, Conflict, PreconditionFailed, PreconditionRequired, *JSON_BODY, _200=_TAGGED
    ),
    summary="Change a stream's recipe or policies",
)
def change_stream(
    stream: StreamName,
    patch: StreamPatch,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    response: Response,
) -> StreamShape:
    """A JSON merge patch, with `If-Match` and the stream's ETag.

    A cycle that has begun keeps what it began with; the next one has the change.
    """
    with database.begin() as session:
        row = streams.lock(session, streams.get(session, stream).id)
        caller.seen.check(row.revision, f"stream {stream}")
        streams.change(session, row, blueprint.changed(row, patch), who=caller.who)
        shape = _shape(session, row, settings)
    log.info("stream settings", stream=stream, revision=row.revision)
    response.headers["etag"] = etag(row.revision)
    return shape


def _shape(session: Session, row: Stream, settings: StoreSettings) -> StreamShape:
    champion = aliases.version_of(session, row.id, aliases.CHAMPION)
    serving = replicas.of_stream(session, row, stale_s=settings.stale_s)
    return StreamShape.of(row, champion, serving)


def _add(
    database: Database,
    settings: StoreSettings,
    stream: Stream,
    *,
    key: str | None,
    fingerprint: str,
) -> Answer:
    with database.begin() as session:
        streams.add(session, stream)
        serving = replicas.of_stream(session, stream, stale_s=settings.stale_s)
        answer = Answer(
            scope=_SCOPE,
            key=key,
            fingerprint=fingerprint,
            status=201,
            location=f"/v1/streams/{stream.name}",
            body=StreamShape.of(stream, None, serving).model_dump(mode="json"),
        )
        return answers.keep(session, answer) if key else answer


def _earlier(database: Database, key: str, fingerprint: str) -> Answer | None:
    with database.begin() as session:
        return answers.find(session, scope=_SCOPE, key=key, fingerprint=fingerprint)


def _fingerprint(wanted: NewStream) -> str:
    return hashlib.sha256(json.dumps(wanted.model_dump(), sort_keys=True).encode()).hexdigest()
