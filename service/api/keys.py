"""API keys: made, listed and revoked; a key's text is told once."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Request, Response

from service.access.journal import note
from service.bounded import JsonRoute
from service.deps import DatabaseDep, KeeperDep, PrincipalDep
from service.errors import Fault, Invalid
from service.headers import sent
from service.openapi import JSON_BODY, refusals
from service.params import ID, PageSize, PageToken, key_of
from service.schemas.access import KeyShape, NewKeyShape, NewKeyWish
from service.schemas.common import Page, page_of
from store import keys
from store.errors import Conflict, NotFound, SchemaOlder
from store.keys import NewKey
from store.models import ApiKey
from store.schema import require

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=JsonRoute)

KeyId = Annotated[str, Path(pattern=ID, description="The key's id, not its text")]

log = structlog.get_logger(__name__)


@router.post(
    "",
    status_code=201,
    responses=refusals(
        Conflict,
        SchemaOlder,
        *JSON_BODY,
        _201={"description": "It is made", **sent("Location")},
    ),
    summary="Make a key",
)
def create_key(
    wish: NewKeyWish,
    request: Request,
    response: Response,
    database: DatabaseDep,
    keeper: KeeperDep,
    principal: PrincipalDep,
) -> NewKeyShape:
    """The answer tells the key's text, this once; only its hash is kept.

    The first key that was ever made closes a service that was open until then.
    """
    if wish.expires_at is not None and wish.expires_at <= dt.datetime.now(dt.UTC):
        words = "lies in the past"
        raise Invalid(f"/expires_at: {words}", [Fault("/expires_at", words)])
    with database.begin() as session:
        require(session, ApiKey)
        row, text = keys.create(session, NewKey(**wish.model_dump()), who=principal.who)
    keeper.changed()
    note(request.scope, key=row.id, name=row.name, scopes=row.scopes, stream=row.stream)
    until = wish.expires_at and wish.expires_at.isoformat()
    note(request.scope, expires_at=until, requests_per_minute=row.requests_per_minute)
    log.info("key made", key=row.id, name=row.name, scopes=row.scopes, stream=row.stream)
    response.headers["cache-control"] = "no-store"
    response.headers["location"] = f"/v1/keys/{row.id}"
    return NewKeyShape.made(row, text)


@router.get("", responses=refusals(SchemaOlder), summary="All keys, newest first")
def list_keys(
    database: DatabaseDep, page_size: PageSize = 50, page_token: PageToken = None
) -> Page[KeyShape]:
    """Revoked and expired ones too; never their texts."""
    with database.begin() as session:
        require(session, ApiKey)
        page = keys.page(session, size=page_size, before=key_of(page_token))
    return page_of(page, KeyShape.of)


@router.get("/{key}", responses=refusals(NotFound, SchemaOlder), summary="One key")
def get_key(key: KeyId, database: DatabaseDep) -> KeyShape:
    with database.begin() as session:
        require(session, ApiKey)
        return KeyShape.of(keys.get(session, key))


@router.delete("/{key}", responses=refusals(NotFound, SchemaOlder), summary="Revoke a key")
def revoke_key(key: KeyId, request: Request, database: DatabaseDep, keeper: KeeperDep) -> KeyShape:
    """For good, and at once in this process; in others as soon as they hear or look.

    Its record stays. Done before, it changes nothing.
    """
    with database.begin() as session:
        require(session, ApiKey)
        row = keys.revoke(session, key)
    keeper.changed()
    note(request.scope, key=row.id, name=row.name)
    log.info("key revoked", key=row.id, name=row.name)
    return KeyShape.of(row)
