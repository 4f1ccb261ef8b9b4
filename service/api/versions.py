"""Versions: their record, and the deletion of their weights."""

from __future__ import annotations

from collections import defaultdict

import structlog
from fastapi import APIRouter, Response

from service.access.route import GuardedRoute
from service.deps import BlobsDep, DatabaseDep, PrincipalDep
from service.openapi import refusals
from service.params import PageSize, PageToken, StreamName, VersionNumber, number_of
from service.schemas.common import Page, page_of
from service.schemas.versions import InputsShape, VersionRecord, VersionShape
from store import aliases, lineage, retention, scores, streams, versions
from store.engine import Session
from store.errors import Conflict, NotFound
from store.models import Stream

router = APIRouter(
    prefix="/v1/streams/{stream}/versions",
    tags=["versions"],
    route_class=GuardedRoute,
)


log = structlog.get_logger(__name__)


@router.get("", responses=refusals(NotFound), summary="The stream's versions, newest first")
def list_versions(
    stream: StreamName,
    database: DatabaseDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[VersionShape]:
    with database.begin() as session:
        row = streams.get(session, stream)
        page = versions.page(session, row, size=page_size, before=number_of(page_token))
        names = _names(session, row)
    return page_of(page, lambda version: VersionShape.of(version, row, names[version.version]))


@router.get(
    "/{version}", responses=refusals(NotFound), summary="One version, with what it was made from"
)
def get_version(
    stream: StreamName, version: VersionNumber, database: DatabaseDep, blobs: BlobsDep
) -> VersionRecord:
    with database.begin() as session:
        row = streams.get(session, stream)
        found = versions.get(session, row, version)
        names = _names(session, row)
        inputs = InputsShape.of(found, lineage.origin(session, row, found))
    shown = VersionShape.of(found, row, names[version])
    return VersionRecord.whole(shown, inputs, scores.read(blobs, found))


@router.delete(
    "/{version}/weights",
    status_code=204,
    response_class=Response,
    responses=refusals(NotFound, Conflict),
    summary="Delete a version's weights and exports; its record stays",
)
def delete_weights(
    stream: StreamName, version: VersionNumber, database: DatabaseDep, principal: PrincipalDep
) -> None:
    """Refused while an alias points at it, or a cycle or rerun that is not over begins from it.

    The bytes go with the next collection of garbage. Done before, it changes nothing.
    """
    with database.begin() as session:
        row = streams.get(session, stream)
        deleted = retention.delete_weights(session, row, version, who=principal.who)
    if deleted:
        log.info("weights deleted", stream=stream, version=version)


def _names(session: Session, stream: Stream) -> defaultdict[int, list[str]]:
    """The aliases of each version."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for alias in aliases.of_stream(session, stream):
        names[alias.version].append(alias.name)
    return names
