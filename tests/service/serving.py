"""Real models in the store, and the real service over real sockets, for the tests of serving."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from lure_core import models
from lure_core.checkpoint import pack
from lure_core.config import CycleConfig, InputSpec, Normalisation, Recipe, Unlearn
from service.main import create_app
from service.server import Server
from service.settings import ServiceSettings
from store import aliases, streams
from store.blobs import Blobs
from store.engine import Database
from store.models import Stream, Version
from store.settings import StoreSettings
from tests.conftest import empty
from tests.factories import create_stream, create_version
from tests.service.declared import Declared

CLASSES = tuple("0123456789")
SPEC = InputSpec(channels=1, height=8, width=8)


def digits_stream(database: Database, name: str = "digits") -> Stream:
    return create_stream(database, name, classes=list(CLASSES), input=SPEC.to_dict())


def learned(
    database: Database,
    blobs: Blobs,
    stream: Stream,
    *,
    seed: int = 0,
    champion: bool = True,
    architecture: str = "resnet20s",
) -> Version:
    """A version with real weights: those of a fresh model of that seed."""
    config = CycleConfig(
        architecture=architecture,
        classes=CLASSES,
        input=SPEC,
        normalisation=Normalisation(mean=(0.3,), std=(0.4,)),
        recipe=Recipe(),
        unlearn=Unlearn(),
        seed=seed,
        device="cpu",
    )
    model = models.build(architecture, classes=len(CLASSES), input=SPEC, seed=seed)
    checkpoint = pack(model, config)
    fields: dict[str, Any] = {
        "digest": blobs.put_bytes(checkpoint.weights),
        "sidecar_digest": blobs.put_bytes(json.dumps(checkpoint.sidecar).encode()),
        "size_bytes": len(checkpoint.weights),
    }
    return create_version(database, stream, champion=champion, **fields)


def promote(database: Database, stream: Stream, version: int) -> None:
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        move = aliases.Move(version, "test", "promoted by a test")
        aliases.move(session, locked, aliases.CHAMPION, move)


def service_settings(settings: StoreSettings, **changes: Any) -> ServiceSettings:
    return ServiceSettings(**(settings.model_dump() | changes))


@dataclass(frozen=True)
class Running:
    """A replica in this process, on a real socket."""

    app: FastAPI
    client: httpx.Client
    url: str

    def until(self, condition: Callable[[], bool], *, timeout_s: float = 20) -> float:
        """Seconds until the condition holds."""
        return until(condition, timeout_s=timeout_s)


def until(condition: Callable[[], bool], *, timeout_s: float = 20) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, "it did not come about in time"
        time.sleep(0.01)
    return time.monotonic() - began


@contextmanager
def running(settings: ServiceSettings, *, ready: bool = True) -> Iterator[Running]:
    app = create_app(settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=10
    )
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        hooks = {"response": [Declared(app)]}
        with httpx.Client(base_url=url, timeout=30, event_hooks=hooks) as client:
            if ready:
                until(lambda: client.get("/readyz").status_code == 200)
            yield Running(app, client, url)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def digits_and_candidate(settings: StoreSettings) -> Iterator[Running]:
    """A replica that serves version 1 of `digits`; version 2 is its candidate."""
    database = Database(settings)
    blobs = Blobs.of(settings, database)
    stream = digits_stream(database)
    for seed in range(2):
        learned(database, blobs, stream, seed=seed, champion=seed == 0, architecture="mlp")
    with database.begin() as session:
        move = aliases.Move(2, "test", "to be looked at")
        aliases.move(session, streams.lock(session, stream.id), "candidate", move)
    with running(service_settings(settings)) as api:
        yield api
    database.close()
    empty(settings.database_url)


@dataclass(frozen=True)
class Process:
    """A replica in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def process(settings: StoreSettings, **changes: Any) -> Iterator[Process]:
    """`python -m service` until the block ends; ready when it begins."""
    told = service_settings(settings, port=free_port(), **changes)
    environment = {
        f"LURE_{name}".upper(): str(value)
        for name, value in told.model_dump(exclude_none=True).items()
    }
    child = subprocess.Popen([sys.executable, "-m", "service"], env=os.environ | environment)
    url = f"http://127.0.0.1:{told.port}"
    try:
        until(lambda: _is_ready(url), timeout_s=100)
        yield Process(child, url)
    finally:
        child.terminate()
        child.wait(timeout=30)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
