"""Server-sent events: what happens, as it becomes visible; resumed by `Last-Event-ID`.

Without one a stream of events begins at now, and a cycle's at the cycle's beginning, since that one
has an end: it closes behind the cycle's last event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.access.route import GuardedRoute
from service.deps import DatabaseDep, PrincipalDep, WatchDep
from service.errors import Overloaded
from service.openapi import refusals
from service.params import CycleId, StreamName
from service.tail import Tail, Topic
from store import cycles, events, streams
from store.errors import NotFound
from store.models import Event
from store.states import ACTIVE

router = APIRouter(tags=["events"], route_class=GuardedRoute)

_RETRY_MS = 2000
_LAST = "cycle.finished"

LastId = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=2**63 - 1)]
AskedId = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="As the header, for links")]


async def _asked(header: LastId = None, last_event_id: AskedId = None) -> int | None:
    """The id behind which to begin: the header's is newer when a browser comes back."""
    return last_event_id if header is None else header


async def _tail(watch: WatchDep, principal: PrincipalDep) -> AsyncIterator[Tail]:
    with watch.tail.place(principal.key_id):
        yield watch.tail


Asked = Annotated[int | None, Depends(_asked)]
TailDep = Annotated[Tail, Depends(_tail)]


async def _begin(asked: Asked, tail: TailDep) -> int | None:
    """The id behind which to begin, found before the stream is seen to be open."""
    return await tail.now() if asked is None else asked


Begin = Annotated[int | None, Depends(_begin)]


@dataclass(frozen=True)
class _Cycle:
    topic: Topic
    is_over: bool


def _of_stream(stream: StreamName, database: DatabaseDep) -> Topic:
    with database.begin() as session:
        return Topic(stream_id=streams.get(session, stream).id)


def _of_cycle(stream: StreamName, cycle: CycleId, database: DatabaseDep) -> _Cycle:
    with database.begin() as session:
        row = cycles.get(session, streams.get(session, stream), cycle)
    return _Cycle(Topic(row.stream_id, row.id), row.state not in ACTIVE)


@router.get(
    "/v1/events",
    response_class=EventSourceResponse,
    responses=refusals(Overloaded),
    summary="Everything that happens",
)
async def all_events(tail: TailDep, begin: Begin) -> AsyncIterator[ServerSentEvent]:
    """Every event, for ever."""
    yield ServerSentEvent(retry=_RETRY_MS, comment="events")
    async for page in tail.follow(Topic(), begin):
        for event in page:
            yield _shown(event)


@router.get(
    "/v1/streams/{stream}/events",
    response_class=EventSourceResponse,
    responses=refusals(NotFound, Overloaded),
    summary="What happens in a stream",
)
async def stream_events(
    tail: TailDep, begin: Begin, topic: Annotated[Topic, Depends(_of_stream)]
) -> AsyncIterator[ServerSentEvent]:
    """A stream's events, for ever."""
    yield ServerSentEvent(retry=_RETRY_MS, comment="events")
    async for page in tail.follow(topic, begin):
        for event in page:
            yield _shown(event)


@router.get(
    "/v1/streams/{stream}/cycles/{cycle}/events",
    response_class=EventSourceResponse,
    responses=refusals(NotFound, Overloaded),
    summary="What happens in a cycle",
)
async def cycle_events(
    tail: TailDep, asked: Asked, of: Annotated[_Cycle, Depends(_of_cycle)]
) -> AsyncIterator[ServerSentEvent]:
    """A cycle's events from its beginning, until it has finished."""
    yield ServerSentEvent(retry=_RETRY_MS, comment="events")
    async for page in tail.follow(of.topic, asked or 0, once=of.is_over):
        for event in page:
            yield _shown(event)
        # what was committed together with the end is in the same page
        if any(event.name == _LAST for event in page):
            return


def _shown(event: Event) -> ServerSentEvent:
    return ServerSentEvent(id=str(event.id), event=event.name, data=events.shown(event))
