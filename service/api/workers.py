"""Workers, to be read."""

from __future__ import annotations

from fastapi import APIRouter

from service.access.route import GuardedRoute
from service.deps import DatabaseDep, SettingsDep
from service.openapi import refusals
from service.schemas.workers import Workers, WorkerShape
from store import workers
from store.errors import SchemaOlder
from store.models import WorkerLease
from store.schema import require

router = APIRouter(prefix="/v1/workers", tags=["health"], route_class=GuardedRoute)


@router.get("", responses=refusals(SchemaOlder), summary="The worker processes, by queue and age")
def list_workers(database: DatabaseDep, settings: SettingsDep) -> Workers:
    """Those that are silent are listed for an hour."""
    with database.begin() as session:
        require(session, WorkerLease)
        found = workers.known(session)
    return Workers(items=[WorkerShape.of(one, stale_s=settings.stale_s) for one in found])
