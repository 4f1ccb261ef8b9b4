"""Cycles, to be read."""

from __future__ import annotations

from fastapi import APIRouter

from service.access.route import GuardedRoute
from service.deps import DatabaseDep
from service.openapi import refusals
from service.params import CycleId, PageSize, PageToken, StreamName, key_of
from service.schemas.common import Page, page_of
from service.schemas.cycles import CycleShape
from store import chunks, cycles, streams
from store.errors import NotFound
from store.states import CycleState

router = APIRouter(prefix="/v1/streams/{stream}/cycles", tags=["cycles"], route_class=GuardedRoute)


@router.get("", responses=refusals(NotFound), summary="The stream's cycles, newest first")
def list_cycles(
    stream: StreamName,
    database: DatabaseDep,
    state: CycleState | None = None,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[CycleShape]:
    with database.begin() as session:
        row = streams.get(session, stream)
        before = key_of(page_token)
        page = cycles.page(session, row, size=page_size, before=before, state=state)
        claimed = chunks.ids_by_cycle(session, [cycle.id for cycle in page.items])
    return page_of(page, lambda cycle: CycleShape.of(cycle, stream, claimed[cycle.id]))


@router.get("/{cycle}", responses=refusals(NotFound), summary="One cycle")
def get_cycle(stream: StreamName, cycle: CycleId, database: DatabaseDep) -> CycleShape:
    with database.begin() as session:
        row = cycles.get(session, streams.get(session, stream), cycle)
        claimed = chunks.ids_by_cycle(session, [row.id])
    return CycleShape.of(row, stream, claimed[row.id])
