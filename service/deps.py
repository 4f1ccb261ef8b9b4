"""What endpoints ask for, typed: everything lies on `app.state` and is made by the lifespan.

They are `async` though they await nothing: FastAPI gives a plain function a thread of the control
plane's, and a prediction must not wait for one.
"""

from __future__ import annotations

from typing import Annotated, cast

from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import HTTPConnection

from service.access import NOBODY, PRINCIPAL, Principal
from service.access.keeper import Keeper
from service.answered import Answers
from service.oip.statistics import Statistics
from service.queue import Queue
from service.settings import ServiceSettings
from service.space import Space
from service.watch import Watch
from store.blobs import Blobs
from store.engine import Database


async def _settings(connection: HTTPConnection) -> ServiceSettings:
    return cast(ServiceSettings, connection.app.state.settings)


async def _database(connection: HTTPConnection) -> Database:
    return cast(Database, connection.app.state.database)


async def _blobs(connection: HTTPConnection) -> Blobs:
    return cast(Blobs, connection.app.state.blobs)


async def _queue(connection: HTTPConnection) -> Queue:
    return cast(Queue, connection.app.state.queue)


async def _watch(connection: HTTPConnection) -> Watch:
    return cast(Watch, connection.app.state.watch)


async def _statistics(connection: HTTPConnection) -> Statistics:
    return cast(Statistics, connection.app.state.statistics)


async def _answers(connection: HTTPConnection) -> Answers:
    return cast(Answers, connection.app.state.answers)


async def _checks(connection: HTTPConnection) -> CapacityLimiter:
    return cast(CapacityLimiter, connection.app.state.checks)


async def _keeper(connection: HTTPConnection) -> Keeper:
    return cast(Watch, connection.app.state.watch).keeper


async def _principal(connection: HTTPConnection) -> Principal:
    return cast(Principal, connection.scope.get(PRINCIPAL, NOBODY))


async def _space(connection: HTTPConnection) -> Space:
    return cast(Space, connection.app.state.space)


SettingsDep = Annotated[ServiceSettings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
BlobsDep = Annotated[Blobs, Depends(_blobs)]
QueueDep = Annotated[Queue, Depends(_queue)]
AnswersDep = Annotated[Answers, Depends(_answers)]
SpaceDep = Annotated[Space, Depends(_space)]
ChecksDep = Annotated[CapacityLimiter, Depends(_checks)]
KeeperDep = Annotated[Keeper, Depends(_keeper)]
PrincipalDep = Annotated[Principal, Depends(_principal)]
WatchDep = Annotated[Watch, Depends(_watch)]
StatisticsDep = Annotated[Statistics, Depends(_statistics)]
