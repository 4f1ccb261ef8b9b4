"""Aliases: which version a name points at, who moved it, and back again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Query, Response
from starlette.responses import JSONResponse

from service import errors, holding, idempotency
from service.bounded import JsonRoute
from service.caller import CallerDep
from service.deps import DatabaseDep, PrincipalDep
from service.headers import sent
from service.idempotency import KeyDep
from service.openapi import JSON_BODY, refusals
from service.params import AliasName, PageSize, PageToken, StreamName, key_of
from service.preconditions import Preconditions, etag
from service.schemas.aliases import AliasMoveWish, AliasShape, MoveShape, Reason, Why
from service.schemas.common import Page, page_of
from store import aliases, answers, streams
from store.engine import Database, Session
from store.errors import Conflict, KeyReused, NotFound, PreconditionFailed
from store.models import Alias, Answer, Stream

router = APIRouter(prefix="/v1/streams/{stream}/aliases", tags=["aliases"], route_class=JsonRoute)


_TAGGED = {"description": "As it is now", **sent("ETag")}
_MOVED = _TAGGED | sent("ETag", "Location")

PreconditionsDep = Annotated[Preconditions, Depends()]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Action:
    """A rollback or a release that was asked for."""

    name: str
    stream: str
    alias: str
    key: str | None
    reason: str

    @property
    def scope(self) -> str:
        """Within which the key is one request's own."""
        return f"POST {self._path}:{self.name}"

    def earlier(self, session: Session) -> Answer | None:
        """The answer that its key was given before."""
        assert self.key is not None
        return answers.find(session, scope=self.scope, key=self.key, fingerprint=self._fingerprint)

    def answer(self, body: AliasShape) -> Answer:
        """Its answer, to be kept."""
        return Answer(
            scope=self.scope,
            key=self.key,
            fingerprint=self._fingerprint,
            status=200,
            location=self._path,
            body=body.model_dump(mode="json"),
        )

    @property
    def _path(self) -> str:
        return f"/v1/streams/{self.stream}/aliases/{self.alias}"

    @property
    def _fingerprint(self) -> str:
        return hashlib.sha256(self.reason.encode()).hexdigest()


@router.get("", responses=refusals(NotFound), summary="The stream's aliases, by name")
def list_aliases(stream: StreamName, database: DatabaseDep) -> Page[AliasShape]:
    with database.begin() as session:
        rows = aliases.of_stream(session, streams.get(session, stream))
    return Page(items=[AliasShape.of(row, stream) for row in rows], next_page_token=None)


@router.get(
    "/{alias}",
    response_model=AliasShape,
    responses=refusals(
        NotFound,
        _200=_TAGGED,
        _304={"description": "Unchanged since If-None-Match", **sent("ETag")},
    ),
    summary="One alias, with its ETag",
)
def get_alias(
    stream: StreamName,
    alias: AliasName,
    seen: PreconditionsDep,
    database: DatabaseDep,
    response: Response,
) -> AliasShape | Response:
    with database.begin() as session:
        row = aliases.get(session, streams.get(session, stream), alias)
    response.headers["etag"] = etag(row.revision)
    if seen.unchanged(row.revision):
        return Response(status_code=304, headers={"etag": etag(row.revision)})
    return AliasShape.of(row, stream)


@router.put(
    "/{alias}",
    responses=refusals(
        NotFound,
        Conflict,
        PreconditionFailed,
        errors.PreconditionRequired,
        *JSON_BODY,
        _200=_TAGGED,
        _201={"model": AliasShape, "description": "The alias is new", **sent("ETag")},
    ),
    summary="Point an alias at a version",
)
def put_alias(
    stream: StreamName,
    alias: AliasName,
    wish: AliasMoveWish,
    caller: CallerDep,
    database: DatabaseDep,
    response: Response,
) -> AliasShape:
    """Needs `If-Match` with the alias's ETag, or `If-None-Match: *` to make a new one.

    Where cycles promote by themselves, moving `champion` holds that until it is released, unless
    `hold` is false; where a person does (`policies.gate.mode` is `manual`), nothing is held.
    """
    with database.begin() as session:
        row = streams.lock(session, streams.get(session, stream).id)
        stays = holding.wanted(row, alias, wish.hold)
        move = aliases.Move(wish.version, caller.who, wish.reason, stays)
        revision = _revision(session, row, alias)
        caller.seen.check(revision, f"alias {alias}")
        moved = aliases.move_if(session, row, alias, move, revision=revision)
    if revision is None:
        response.status_code = 201
    return _told(moved, stream, response)


@router.delete(
    "/{alias}",
    status_code=204,
    response_class=Response,
    responses=refusals(
        NotFound, Conflict, PreconditionFailed, errors.PreconditionRequired, *JSON_BODY
    ),
    summary="Delete an alias of one's own; its history stays",
)
def delete_alias(
    stream: StreamName,
    alias: AliasName,
    caller: CallerDep,
    database: DatabaseDep,
    reason: Annotated[Reason, Query(description="Goes into the history")] = "",
) -> None:
    """Needs `If-Match` with the alias's ETag. What LURE moves itself cannot be deleted."""
    with database.begin() as session:
        row = streams.lock(session, streams.get(session, stream).id)
        found = aliases.get(session, row, alias)
        caller.seen.check(found.revision, f"alias {alias}")
        aliases.remove(session, row, alias, who=caller.who, reason=reason)
    log.info("alias deleted", stream=stream, alias=alias)


@router.get(
    "/{alias}/history",
    responses=refusals(NotFound),
    summary="Every move of an alias, newest first; also of one that was deleted",
)
def get_alias_history(
    stream: StreamName,
    alias: AliasName,
    database: DatabaseDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[MoveShape]:
    with database.begin() as session:
        row = streams.get(session, stream)
        before = key_of(page_token)
        page = aliases.history(session, row, alias, size=page_size, before=before)
    return page_of(page, MoveShape.of)


@router.post(
    "/{alias}:rollback",
    response_model=AliasShape,
    responses=refusals(NotFound, Conflict, KeyReused, *JSON_BODY, _200=_MOVED),
    summary="Serve the newest older version that was served before, and hold it",
)
def rollback_alias(
    stream: StreamName,
    alias: AliasName,
    database: DatabaseDep,
    key: KeyDep,
    principal: PrincipalDep,
    why: Why | None = None,
) -> JSONResponse:
    """With an `Idempotency-Key` it can be sent again without going back one more version."""
    reason = (why.reason if why else "") or "rolled back"

    def act(session: Session, row: Stream) -> Alias:
        return aliases.rollback(session, row, who=principal.who, reason=reason)

    return _acted(database, Action("rollback", stream, alias, key, reason), act)


@router.post(
    "/{alias}:release",
    response_model=AliasShape,
    responses=refusals(NotFound, Conflict, KeyReused, *JSON_BODY, _200=_MOVED),
    summary="Let cycles promote again after a rollback or a move by hand",
)
def release_alias(
    stream: StreamName,
    alias: AliasName,
    database: DatabaseDep,
    key: KeyDep,
    principal: PrincipalDep,
    why: Why | None = None,
) -> JSONResponse:
    reason = (why.reason if why else "") or "released"

    def act(session: Session, row: Stream) -> Alias:
        return aliases.release(session, row, who=principal.who, reason=reason)

    return _acted(database, Action("release", stream, alias, key, reason), act)


def _acted(
    database: Database, action: Action, act: Callable[[Session, Stream], Alias]
) -> JSONResponse:
    """Do it, or give the answer that the key was given before."""
    with database.begin() as session:
        row = _of_champion(session, action.stream, action.alias)
        row = streams.lock(session, row.id)  # the same key twice at once: the second waits here
        if action.key and (old := action.earlier(session)):
            return idempotency.response(old, replayed=True)
        alias = act(session, row)
        session.flush()
        answer = action.answer(AliasShape.of(alias, action.stream))
        if action.key:
            answers.keep(session, answer)
    _log(alias, action.stream)
    response = idempotency.response(answer, replayed=False)
    response.headers["etag"] = etag(alias.revision)
    return response


def _revision(session: Session, stream: Stream, name: str) -> int | None:
    """The alias's revision; the stream's row is locked, so that it stays."""
    try:
        return aliases.get(session, stream, name).revision
    except NotFound:
        return None


def _of_champion(session: Session, stream: str, alias: str) -> Stream:
    """The stream, if the alias is there and is the one that cycles promote."""
    row = streams.get(session, stream)
    aliases.get(session, row, alias)
    if alias != aliases.CHAMPION:
        raise Conflict(f"only {aliases.CHAMPION} is rolled back and released; PUT moves {alias}")
    return row


def _told(alias: Alias, stream: str, response: Response) -> AliasShape:
    _log(alias, stream)
    response.headers["etag"] = etag(alias.revision)
    return AliasShape.of(alias, stream)


def _log(alias: Alias, stream: str) -> None:
    log.info("alias set", stream=stream, alias=alias.name, version=alias.version, hold=alias.hold)
