"""What endpoints ask for, typed: everything lies on `app.state` and is made by the lifespan."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from service.queue import Queue
from service.settings import ServiceSettings
from service.watch import Watch
from store.blobs import Blobs
from store.engine import Database


def _settings(connection: HTTPConnection) -> ServiceSettings:
    return cast(ServiceSettings, connection.app.state.settings)


def _database(connection: HTTPConnection) -> Database:
    return cast(Database, connection.app.state.database)


def _blobs(connection: HTTPConnection) -> Blobs:
    return cast(Blobs, connection.app.state.blobs)


def _queue(connection: HTTPConnection) -> Queue:
    return cast(Queue, connection.app.state.queue)


def _watch(connection: HTTPConnection) -> Watch:
    return cast(Watch, connection.app.state.watch)


SettingsDep = Annotated[ServiceSettings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
BlobsDep = Annotated[Blobs, Depends(_blobs)]
QueueDep = Annotated[Queue, Depends(_queue)]
WatchDep = Annotated[Watch, Depends(_watch)]
