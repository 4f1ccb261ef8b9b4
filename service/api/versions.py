"""Versions, to be read."""

from __future__ import annotations

from collections import defaultdict

from fastapi import APIRouter

from service.deps import DatabaseDep
from service.openapi import refusals
from service.params import PageSize, PageToken, StreamName, VersionNumber, key_of
from service.schemas.common import Page, page_of
from service.schemas.versions import VersionShape
from store import aliases, streams, versions
from store.engine import Session
from store.errors import NotFound
from store.models import Stream

router = APIRouter(prefix="/v1/streams/{stream}/versions", tags=["versions"])


@router.get("", responses=refusals(NotFound), summary="The stream's versions, newest first")
def list_versions(
    stream: StreamName,
    database: DatabaseDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[VersionShape]:
    with database.begin() as session:
        row = streams.get(session, stream)
        page = versions.page(session, row, size=page_size, before=key_of(page_token))
        names = _names(session, row)
    return page_of(page, lambda version: VersionShape.of(version, row, names[version.version]))


@router.get("/{version}", responses=refusals(NotFound), summary="One version")
def get_version(stream: StreamName, version: VersionNumber, database: DatabaseDep) -> VersionShape:
    with database.begin() as session:
        row = streams.get(session, stream)
        found = versions.get(session, row, version)
        names = _names(session, row)
    return VersionShape.of(found, row, names[version])


def _names(session: Session, stream: Stream) -> defaultdict[int, list[str]]:
    """The aliases of each version."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for alias in aliases.of_stream(session, stream):
        names[alias.version].append(alias.name)
    return names
