"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.access.route import GuardedRoute
from service.deps import DatabaseDep
from service.openapi import refusals
from service.params import NAME, PageSize, PageToken, key_of
from service.schemas.access import AuditShape
from service.schemas.common import Page, page_of
from store import audit
from store.errors import SchemaOlder
from store.models import AuditEntry
from store.schema import require

router = APIRouter(prefix="/v1/audit", tags=["keys"], route_class=GuardedRoute)

OfStream = Annotated[str | None, Query(pattern=NAME, description="Of this stream only")]


@router.get(
    "", responses=refusals(SchemaOlder), summary="What was changed and refused, newest first"
)
def list_audit(
    database: DatabaseDep,
    stream: OfStream = None,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[AuditShape]:
    """Every request that was to change something, and those that were refused to a known key."""
    with database.begin() as session:
        require(session, AuditEntry)
        page = audit.page(session, size=page_size, before=key_of(page_token), stream=stream)
    return page_of(page, AuditShape.of)
