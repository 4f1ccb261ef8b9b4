"""What the Open Inference Protocol tells of the server and its models; see docs/protocols.md."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from service.bounded import JsonRoute
from service.deps import DatabaseDep, StatisticsDep, WatchDep
from service.errors import ModelAway, NothingServed
from service.oip import metadata
from service.openapi import JSON_BODY, refusals, unready
from service.params import StreamName, VersionOrAlias
from service.schemas.protocol import (
    IndexEntry,
    IndexWish,
    ModelMetadata,
    ModelReady,
    Models,
    ModelStatistics,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from store import aliases, catalogue, streams
from store.errors import Conflict, NotFound
from store.states import VersionState

router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=JsonRoute)

_MODEL = "/models/{model}"
_VERSION = "/models/{model}/versions/{version}"
_MODEL_UNREADY = unready(ModelReady(name="digits", ready=False))


@router.get("", response_model=ServerMetadata, summary="The server's name, version and extensions")
async def get_server_metadata() -> dict[str, Any]:
    return metadata.server()


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", summary="The process runs")
async def get_server_live() -> ServerLive:
    return ServerLive()


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready",
    responses={503: unready(ServerReady(ready=False))},
    summary="Every model can be asked",
)
async def get_server_ready(watch: WatchDep, response: Response) -> ServerReady:
    if not watch.ready:
        response.status_code = 503
        response.headers["retry-after"] = "1"
    return ServerReady(ready=watch.ready)


@router.get("/models", responses=refusals(), summary="The models that serve something")
def list_models(database: DatabaseDep) -> Models:
    with database.begin() as session:
        return Models(models=catalogue.models(session))


@router.get(
    "/models/stats",
    response_model=ModelStatistics,
    summary="What this process has inferred, by version",
)
async def get_statistics(statistics: StatisticsDep) -> dict[str, Any]:
    return statistics.told()


@router.get(
    _MODEL,
    response_model=ModelMetadata,
    responses=refusals(NotFound, NothingServed),
    summary="A model's inputs and outputs",
)
def get_model_metadata(model: StreamName, database: DatabaseDep) -> dict[str, Any]:
    with database.begin() as session:
        stream = streams.get(session, model)
        if aliases.version_of(session, stream.id, aliases.CHAMPION) is None:
            raise NothingServed(f"stream {model} has no version yet; send it a chunk")
        champion = catalogue.pointed_at(session, stream, f"@{aliases.CHAMPION}")
        return metadata.model(stream, champion, catalogue.numbers(session, stream))


@router.get(
    _VERSION,
    response_model=ModelMetadata,
    responses=refusals(NotFound),
    summary="A version's inputs and outputs",
)
def get_version_metadata(
    model: StreamName, version: VersionOrAlias, database: DatabaseDep
) -> dict[str, Any]:
    with database.begin() as session:
        stream = streams.get(session, model)
        found = catalogue.pointed_at(session, stream, version)
        return metadata.model(stream, found, catalogue.numbers(session, stream))


@router.get(
    f"{_MODEL}/ready",
    responses=refusals(NotFound, _503=_MODEL_UNREADY),
    summary="Whether a model can be asked",
)
async def get_model_ready(model: StreamName, watch: WatchDep, response: Response) -> ModelReady:
    return await _readiness(watch, response, model, None)


@router.get(
    f"{_VERSION}/ready",
    responses=refusals(NotFound, _503=_MODEL_UNREADY),
    summary="Whether a version can be asked; it is loaded for that",
)
async def get_version_ready(
    model: StreamName, version: VersionOrAlias, watch: WatchDep, response: Response
) -> ModelReady:
    return await _readiness(watch, response, model, version)


@router.get(
    f"{_MODEL}/stats",
    response_model=ModelStatistics,
    responses=refusals(NotFound),
    summary="Of one model",
)
def get_model_statistics(
    model: StreamName, database: DatabaseDep, statistics: StatisticsDep
) -> dict[str, Any]:
    with database.begin() as session:
        streams.get(session, model)
    return statistics.told(model)


@router.get(
    f"{_VERSION}/stats",
    response_model=ModelStatistics,
    responses=refusals(NotFound),
    summary="Of one version",
)
def get_version_statistics(
    model: StreamName, version: VersionOrAlias, database: DatabaseDep, statistics: StatisticsDep
) -> dict[str, Any]:
    with database.begin() as session:
        found = catalogue.pointed_at(session, streams.get(session, model), version)
    return statistics.told(model, found.version)


@router.post(
    "/repository/index", responses=refusals(*JSON_BODY), summary="Every version, as Triton lists it"
)
def list_repository(database: DatabaseDep, wish: IndexWish | None = None) -> list[IndexEntry]:
    with database.begin() as session:
        found = catalogue.entries(session, only_ready=wish is not None and wish.ready)
    return [
        IndexEntry(
            name=one.stream,
            version=str(one.version),
            state="READY" if one.state is VersionState.READY else "UNAVAILABLE",
            reason="" if one.state is VersionState.READY else one.state,
        )
        for one in found
    ]


async def _readiness(
    watch: WatchDep, response: Response, model: str, version: str | None
) -> ModelReady:
    try:
        await watch.library.find(model, version)
    except (NothingServed, ModelAway, Conflict):
        response.status_code = 503
        response.headers["retry-after"] = "1"
        return ModelReady(name=model, ready=False)
    return ModelReady(name=model, ready=True)
