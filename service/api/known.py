"""Spellings that users of other servers already know; see docs/protocols.md."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse

from service import holding, invocation, payload
from service.access import PRINCIPAL, Principal
from service.access.route import GuardedRoute
from service.aside import aside
from service.batcher import Probabilities
from service.deadline import DeadlineRoute
from service.deps import DatabaseDep, PrincipalDep, WatchDep
from service.errors import (
    EmptyBody,
    Fault,
    Invalid,
    ModelAway,
    NothingServed,
    Overloaded,
    TooLarge,
    TooLate,
    TooSlow,
    UnsupportedMediaType,
)
from service.headers import SIGNATURE, TIMEOUT, read, sent
from service.oip.images import Pixels
from service.openapi import refusals, unready
from service.params import NAME, POINTED, StreamName, VersionOrAlias
from service.schemas.aliases import Reason
from service.schemas.common import spelled
from service.settings import ServiceSettings
from service.slot import Served
from service.watch import Watch
from store import aliases, catalogue, streams
from store.errors import Conflict, NotFound

router = APIRouter(tags=["known spellings"], route_class=GuardedRoute)
asked = APIRouter(tags=["known spellings"], route_class=DeadlineRoute)

_BEST = 5  # classes of an answer in TorchServe's form, as its image classifiers give
_JSON = "application/json"
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_INSTANCES = {
    "schema": {"type": "object"},
    "example": {"instances": [{"b64": "iVBORw0KGgoAAAANSUhEUg…"}]},
}
_SIGNED = {"description": "The answers", **sent(*SIGNATURE)}
_ANY_BODY: dict[str, Any] = {
    "required": True,
    "description": "One image file, whatever its type is said to be; a form with files; or JSON as"
    " `/invocations` takes it",
    "content": {
        "image/*": _IMAGE,
        "multipart/form-data": {"schema": {"type": "object"}},
        _JSON: _INSTANCES,
    },
}
_REFUSALS = (
    NotFound,
    NothingServed,
    Conflict,
    TooSlow,
    TooLarge,
    EmptyBody,
    Overloaded,
    ModelAway,
    TooLate,
)

Best = dict[str, float]
_CLASSIFYING: dict[str, Any] = {
    "response_model": Best | list[Best],
    "responses": refusals(
        *_REFUSALS,
        _200=_SIGNED | {"content": {_JSON: {"example": {"three": 0.93, "eight": 0.04}}}},
    ),
    "openapi_extra": {"parameters": read(TIMEOUT), "requestBody": _ANY_BODY},
}

log = structlog.get_logger(__name__)


class Health(BaseModel):
    status: str


_UNREADY: dict[int | str, dict[str, Any]] = {503: unready(Health(status="Unhealthy"))}


class Scored(BaseModel):
    label: str
    probability: float


class Invocation(BaseModel):
    """The best class of each image, in their order."""

    predictions: list[Scored]


@router.head("/health", include_in_schema=False)
@router.head("/ping", include_in_schema=False)
@router.get("/health", name="health", responses=_UNREADY, summary="The same as `/ping`")
@router.get("/ping", responses=_UNREADY, summary="Can it answer?")
async def ping(watch: WatchDep, response: Response) -> Health:
    if not watch.ready:
        response.status_code = 503
        response.headers["retry-after"] = "1"
    return Health(status="Healthy" if watch.ready else "Unhealthy")


@router.get("/version", response_class=PlainTextResponse, summary="The service's version, as text")
async def version() -> str:
    return version_of("lure")


@asked.post(
    "/invocations",
    response_model=Invocation,
    responses=refusals(*_REFUSALS, UnsupportedMediaType, _200=_SIGNED),
    openapi_extra={
        "parameters": read(TIMEOUT),
        "requestBody": {
            "required": True,
            "description": "Exactly one of `inputs`, `instances`, `dataframe_split` (one column)"
            " and `dataframe_records`: base64 of image files, or pixels in nested lists",
            "content": {_JSON: _INSTANCES},
        },
    },
    summary="Predict, as MLflow's scoring server is asked",
)
async def invoke(
    request: Request,
    stream: Annotated[
        str | None, Query(pattern=NAME, description="Not needed where only one stream serves")
    ] = None,
    x_stream: Annotated[
        str | None, Header(pattern=NAME, description="The same, for clients with fixed paths")
    ] = None,
    version: Annotated[str | None, Query(pattern=POINTED, description="`3` or `@alias`")] = None,
) -> Response:
    if _media_type(request) != _JSON:
        raise UnsupportedMediaType(f"invocations are {_JSON} here")
    watch: Watch = request.app.state.watch
    name = stream or x_stream or _its_stream(request)
    structlog.contextvars.bind_contextvars(stream=name)  # elsewhere the path tells it
    served = await watch.library.find(name, version)
    probabilities = await _probabilities(request, served)
    told = [
        Scored(label=served.classes[k], probability=row[k])
        for row, k in zip(probabilities, probabilities.argmax(axis=1).tolist(), strict=True)
    ]
    body = Invocation(predictions=told).model_dump_json()
    return Response(body, headers=_signature(served), media_type=_JSON)


@asked.put("/predictions/{model}", include_in_schema=False)  # what `curl -T FILE` makes of it
@asked.post(
    "/predictions/{model}",
    **_CLASSIFYING,
    summary="Predict, as TorchServe is asked",
)
async def classify(request: Request, model: StreamName) -> Response:
    """The best classes with their probabilities: of one image, or a list where several came."""
    return await _classified(request, model, None)


@asked.put("/predictions/{model}/{version}", include_in_schema=False)
@asked.post(
    "/predictions/{model}/{version}",
    **_CLASSIFYING,
    summary="Predict by a version or an `@alias`, as TorchServe is asked",
)
async def classify_by_version(
    request: Request, model: StreamName, version: VersionOrAlias
) -> Response:
    return await _classified(request, model, version)


@router.put(
    "/models/{model}/{version}/set-default",
    responses=refusals(NotFound, Conflict),
    summary="Move the champion, as TorchServe is told",
)
def set_default(
    model: StreamName,
    version: VersionOrAlias,
    database: DatabaseDep,
    principal: PrincipalDep,
    reason: Annotated[Reason, Query(description="Goes into the history")] = "set as the default",
    *,
    hold: Annotated[bool | None, Query(description="As in PUT …/aliases/champion")] = None,
) -> Health:
    """Like `PUT …/aliases/champion` with `If-Match: *`: history says who and why."""
    with database.begin() as session:
        stream = streams.lock(session, streams.get(session, model).id)
        to = catalogue.pointed_at(session, stream, version).version
        stays = holding.wanted(stream, aliases.CHAMPION, hold)
        move = aliases.Move(to, principal.who, reason, stays)
        aliases.move(session, stream, aliases.CHAMPION, move)
    log.info("alias set", stream=model, alias=aliases.CHAMPION, version=to, hold=stays)
    return Health(status=f'Default version successfully updated for model "{model}" to "{to}"')


async def _classified(request: Request, model: str, version: str | None) -> Response:
    watch: Watch = request.app.state.watch
    served = await watch.library.find(model, version)
    probabilities = await _probabilities(request, served)
    told = [_best(served, row) for row in probabilities.tolist()]
    several = len(told) > 1 or _media_type(request) == _JSON
    return JSONResponse(told if several else told[0], headers=_signature(served))


async def _probabilities(request: Request, served: Served) -> Probabilities:
    """Of the images in a body: a form's files, JSON as MLflow has it, or else one image."""
    settings: ServiceSettings = request.app.state.settings
    watch: Watch = request.app.state.watch
    predictor, most = watch.predictor, settings.max_predict_images
    async with payload.held(request, predictor, settings) as body:
        pointer, images = await _images(request, served, body, most)
        if isinstance(images, list):
            try:
                probabilities = await predictor.images(
                    served, images, max_pixels=settings.max_predict_pixels
                )
            except Invalid as error:
                raise error.moved("/images", pointer) from error
        else:
            probabilities = await predictor.pixels(served, images)
    watch.counters.predicted(served.stream, served.version, len(images))
    return probabilities


async def _images(
    request: Request, served: Served, body: bytes, most: int
) -> tuple[str, Pixels | list[bytes]]:
    """Where in the body they are, and the images."""
    watch: Watch = request.app.state.watch
    threads = watch.predictor.threads
    kind = _media_type(request)
    if kind == _JSON:
        return await aside(threads, len(body), invocation.read, body, served.input, most)
    if kind == "multipart/form-data":
        found = await payload.images(body, request, max_images=most, threads=threads)
        return "/images", found
    return "/images", [body]


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _its_stream(request: Request) -> str:
    """The stream to ask where none is named: the key's, or the only one.

    Raises:
        Invalid: There are several, or none.
    """
    principal: Principal = request.scope[PRINCIPAL]
    if principal.stream is not None:
        return principal.stream
    watch: Watch = request.app.state.watch
    names = sorted(watch.slots.champions())
    if len(names) != 1:
        words = f"{len(names)} streams serve; say which one: ?stream=NAME, or the header X-Stream"
        raise Invalid(words, [Fault("query:stream", words)])
    return names[0]


def _best(served: Served, row: Sequence[float]) -> Best:
    best = heapq.nlargest(_BEST, range(len(row)), key=row.__getitem__)
    return {served.classes[k]: row[k] for k in best}


def _signature(served: Served) -> dict[str, str]:
    return {"X-Model-Version": str(served.version), "X-Model-Digest": spelled(served.digest)}


router.include_router(asked)
