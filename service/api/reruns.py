"""Reruns: asked for here, run by a worker when nothing is to be learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Header
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from service import idempotency, waiting
from service.bounded import JsonRoute
from service.deps import DatabaseDep, QueueDep
from service.headers import sent
from service.idempotency import KeyDep
from service.openapi import JSON_BODY, refusals
from service.params import PageSize, PageToken, RerunId, StreamName, VersionNumber, key_of
from service.schemas.common import Page, page_of
from service.schemas.reruns import NewRerun, RerunShape
from store import answers, reruns, streams
from store.engine import Database
from store.errors import Conflict, KeyReused, NotFound
from store.models import Answer
from store.states import RerunState

router = APIRouter(prefix="/v1/streams/{stream}", tags=["reruns"], route_class=JsonRoute)

Prefer = Annotated[str | None, Header(description="`wait=N`: for its end, N ≤ 60 s")]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Asking:
    """What it takes to ask for one."""

    database: DatabaseDep
    queue: QueueDep
    key: KeyDep


@router.post(
    "/versions/{version}:reproduce",
    status_code=202,
    response_model=RerunShape,
    responses=refusals(
        NotFound,
        Conflict,
        KeyReused,
        *JSON_BODY,
        _202={"description": "It waits its turn", **sent("Location", "Retry-After")},
    ),
    summary="Run a version's cycle once more, as it was or with another strategy",
)
async def reproduce_version(
    stream: StreamName,
    version: VersionNumber,
    asking: Annotated[Asking, Depends()],
    prefer: Prefer = None,
    wanted: NewRerun | None = None,
) -> JSONResponse:
    """It begins when no stream has anything to learn, and gives way to any that has.

    It makes no version and moves no alias. Refused (409) where what the version was made from is
    not there any more: the weights of its parent, or a chunk that was retracted.
    """
    method = wanted.method if wanted else reruns.REPRODUCE
    answer, replayed = await run_in_threadpool(_ask, asking, stream, version, method)
    seconds = waiting.seconds_of(prefer)
    if seconds is not None:
        read = partial(_read, asking.database, stream, answer.body["id"])
        found = await waiting.settled(read, _is_over, seconds=seconds)
        answer.body = answer.body if found is None else found.model_dump(mode="json")
    response = idempotency.response(answer, replayed=replayed)
    response.headers["retry-after"] = "1"
    _applied(response, seconds)
    return response


@router.get("/reruns", responses=refusals(NotFound), summary="The stream's reruns, newest first")
def list_reruns(
    stream: StreamName,
    database: DatabaseDep,
    state: RerunState | None = None,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Page[RerunShape]:
    with database.begin() as session:
        row = streams.get(session, stream)
        before = key_of(page_token)
        page = reruns.page(session, row, size=page_size, before=before, state=state)
    return page_of(page, lambda rerun: RerunShape.of(rerun, stream))


@router.get("/reruns/{rerun}", responses=refusals(NotFound), summary="One rerun")
async def get_rerun(
    stream: StreamName,
    rerun: RerunId,
    database: DatabaseDep,
    response: Response,
    prefer: Prefer = None,
) -> RerunShape:
    read = partial(_read, database, stream, rerun)
    seconds = waiting.seconds_of(prefer)
    _applied(response, seconds)
    if seconds is not None:
        found = await waiting.settled(read, _is_over, seconds=seconds)
        if found is not None:
            return found
    return await run_in_threadpool(read)


@router.post(
    "/reruns/{rerun}:cancel",
    responses=refusals(NotFound, Conflict),
    summary="Stop a rerun that is not over",
)
def cancel_rerun(stream: StreamName, rerun: RerunId, database: DatabaseDep) -> RerunShape:
    """A counterfactual that is stopped is not made due again."""
    with database.begin() as session:
        row = reruns.cancel(session, streams.get(session, stream), rerun)
        session.flush()
        shown = RerunShape.of(row, stream)
    log.info("rerun cancelled", stream=stream, rerun=rerun)
    return shown


def _ask(asking: Asking, stream: str, version: int, method: str) -> tuple[Answer, bool]:
    """The answer, and whether it is the one that the key was given before."""
    scope = f"POST /v1/streams/{stream}/versions/{version}:reproduce"
    key = asking.key
    with asking.database.begin() as session:
        # the same key twice at once: the second waits here
        row = streams.lock(session, streams.get(session, stream).id)
        if key and (old := answers.find(session, scope=scope, key=key, fingerprint=method)):
            return old, True
        rerun = reruns.add(session, row, version, method=method)
        answer = Answer(
            scope=scope,
            key=key,
            fingerprint=method,
            status=202,
            location=f"/v1/streams/{stream}/reruns/{rerun.id}",
            body=RerunShape.of(rerun, stream).model_dump(mode="json"),
        )
        if key:
            answers.keep(session, answer)
    asking.queue.rerun()
    log.info("rerun asked for", stream=stream, version=version, method=method, rerun=rerun.id)
    return answer, False


def _read(database: Database, stream: str, rerun_id: str) -> RerunShape:
    with database.begin() as session:
        row = reruns.get(session, streams.get(session, stream), rerun_id)
    return RerunShape.of(row, stream)


def _is_over(rerun: RerunShape) -> bool:
    return rerun.state not in reruns.UNFINISHED


def _applied(response: Response, seconds: int | None) -> None:
    if seconds is not None:
        response.headers["preference-applied"] = f"wait={seconds}"
