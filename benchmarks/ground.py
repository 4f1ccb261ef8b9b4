"""The real service on embedded PostgreSQL and Redis, with a model of random weights in each stream.

Without workers: nothing is to be learned while answers are measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.model import CLASSES, MEAN, SEED, STD, Case
from lure.servers import Postgres, Redis
from lure_core import models
from lure_core.checkpoint import pack
from lure_core.config import CycleConfig, Normalisation, Recipe, Unlearn
from store.admin import migrate
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.factories import create_stream, create_version


@contextmanager
def service(cases: Iterable[Case], port: int, env: Mapping[str, str]) -> Iterator[None]:
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
                _publish(case, database, Blobs(settings.blobs, database))
            database.close()
            told = {
                f"LURE_{key}".upper(): str(value) for key, value in settings.model_dump().items()
            }
            environment = os.environ | told | {"LURE_PORT": str(port), "LURE_LOG_LEVEL": "ERROR"}
            with running([sys.executable, "-m", "service"], environment | dict(env)):
                yield


@contextmanager
def running(program: list[str], env: Mapping[str, str]) -> Iterator[None]:
    """A program until the block ends."""
    child = subprocess.Popen(program, env=dict(env))
    try:
        yield
    finally:
        child.terminate()
        child.wait(30)


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
