"""The real service on embedded PostgreSQL and Redis, with a model of random weights in each stream.

Without workers: nothing is to be learned while answers are measured. What runs beside it can be
paused: LitServe's loop polls for requests, and without a break where a batch may not wait.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.peers.model import CLASSES, MEAN, SEED, STD, Case
from lure import layout
from lure.errors import EmbeddedError
from lure.servers import Postgres, Redis
from lure.waiting import until
from lure_core import models
from lure_core.checkpoint import pack
from lure_core.config import CycleConfig, Normalisation, Recipe, Unlearn
from store.admin.migrating import migrate
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.factories import create_stream, create_version

STOP_S = 30.0


class Program:
    """A running program with all that it started: one process group."""

    def __init__(self, argv: list[str], env: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(argv, env=dict(env), start_new_session=True)

    def pause(self) -> None:
        """It computes nothing until `go_on`."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def end(self) -> None:
        """First as it likes; what it left behind is killed."""
        self.go_on()
        self._child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_S)
        self._send(signal.SIGKILL)
        self._child.wait()

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


@contextmanager
def service(cases: Iterable[Case], port: int, env: Mapping[str, str]) -> Iterator[Program]:
    """`python -m service` at that port; a stream for each case, named like it."""
    with tempfile.TemporaryDirectory(prefix="lure-serving-") as name:
        folder = Path(name)
        with Postgres(folder / "postgres") as postgres, Redis(folder / "redis") as redis:
            settings = StoreSettings(
                database_url=postgres.url, redis_url=redis.url, blobs=folder / "blobs"
            )
            database = Database(settings)
            migrate(settings, database)
            for case in cases:
                _publish(case, database, Blobs.of(settings, database))
            database.close()
            told = {
                f"LURE_{key}".upper(): str(value)
                for key, value in settings.model_dump(exclude_none=True).items()
            }
            environment = os.environ | told | {"LURE_PORT": str(port), "LURE_LOG_LEVEL": "ERROR"}
            program = [sys.executable, "-m", "service"]
            with running(program, port, environment | dict(env)) as started:
                yield started


@contextmanager
def running(argv: list[str], port: int, env: Mapping[str, str]) -> Iterator[Program]:
    """A program that listens at that port, until the block ends; then nobody listens there."""
    program = Program(argv, env)
    try:
        yield program
    finally:
        program.end()
        assert until(lambda: _is_free(port), timeout_s=STOP_S), f"{argv} left port {port} in use"


def _is_free(port: int) -> bool:
    try:
        layout.ports(port, count=1)
    except EmbeddedError:
        return False
    return True


def _publish(case: Case, database: Database, blobs: Blobs) -> None:
    config = CycleConfig(
        architecture=case.architecture,
        classes=CLASSES,
        input=case.input,
        normalisation=Normalisation(mean=(MEAN,) * 3, std=(STD,) * 3),
        recipe=Recipe(),
        unlearn=Unlearn(),
        seed=SEED,
        device="cpu",
    )
    model = models.build(case.architecture, classes=len(CLASSES), input=case.input, seed=SEED)
    checkpoint = pack(model, config)
    stream = create_stream(database, case.name, classes=list(CLASSES), input=case.input.to_dict())
    create_version(
        database,
        stream,
        digest=blobs.put_bytes(checkpoint.weights),
        sidecar_digest=blobs.put_bytes(json.dumps(checkpoint.sidecar).encode()),
        size_bytes=len(checkpoint.weights),
    )
