"""A worker's context in this process: real store, recorded wake-ups."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from store import chunks, cycles, streams, versions
from store.blobs import Blobs
from store.engine import Database
from store.models import Chunk, Cycle, Stream, Version
from store.settings import StoreSettings
from tests.digits import digits_zip
from tests.factories import POLICIES, create_stream
from worker import admission
from worker.context import Context
from worker.settings import WorkerSettings
from worker.stop import Stop

RECIPE = {"epochs": 2, "learn_epochs": 3, "batch_size": 32, "precision": "fp32"}
GATE = {"tolerance": 0.02, "min_judge": 5}
HALVES = {"select": 0.1, "judge": 0.2}


@dataclass
class Wakes:
    """What was woken."""

    sent: list[tuple[str | int, ...]] = field(default_factory=list)

    def __call__(self, task: str, *arguments: str | int, expires_s: float | None = None) -> None:
        self.sent.append((task, *arguments))


@dataclass
class Bench:
    """A worker in this process, and what a test does around it."""

    context: Context
    wakes: Wakes

    @property
    def database(self) -> Database:
        return self.context.database

    def stream(self, name: str = "digits", **fields: Any) -> Stream:
        policies = POLICIES | {"gate": GATE, "holdout": HALVES} | fields.pop("policies", {})
        values = {"recipe": RECIPE, "policies": policies, "seed": 7} | fields
        return create_stream(self.database, name, **values)

    def upload(self, stream: Stream, payload: bytes, media_type: str = "application/zip") -> Chunk:
        """Bytes, then row, as the service does it."""
        digest = self.context.blobs.put_bytes(payload)
        assert digest == hashlib.sha256(payload).hexdigest()
        with self.database.begin() as session:
            chunk, _ = chunks.add(session, stream, chunks.Payload(digest, media_type, len(payload)))
        return chunk

    def admitted(self, stream: Stream, indices: Sequence[int]) -> Chunk:
        chunk = self.upload(stream, digits_zip(indices))
        assert admission.admit(self.context, chunk.id) is not None
        return self.chunk(chunk)

    def chunk(self, chunk: Chunk) -> Chunk:
        with self.database.begin() as session:
            return chunks.by_ids(session, [chunk.id])[0]

    def chunks(self, stream: Stream) -> list[Chunk]:
        with self.database.begin() as session:
            return list(reversed(chunks.page(session, stream, size=100).items))

    def cycles(self, stream: Stream) -> list[Cycle]:
        with self.database.begin() as session:
            return list(reversed(cycles.page(session, stream, size=100).items))

    def read(self, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One query of the store in a transaction of its own."""
        with self.database.begin() as session:
            return query(session, *args, **kwargs)

    def read_stream(self, name: str) -> Stream:
        return self.read(streams.get, name)

    def digests(self, name: str) -> list[str]:
        """Of the weights of a stream's versions, newest first."""
        page = self.read(versions.page, self.read_stream(name), size=100)
        return [version.digest for version in page.items]

    def version(self, stream: Stream, number: int) -> Version:
        return self.read(versions.get, stream, number)


def environment(settings: WorkerSettings) -> dict[str, str]:
    """The variables that give another process these settings."""
    given = settings.model_dump(exclude_none=True)
    told = {f"LURE_{name.upper()}": str(value) for name, value in given.items()}
    return {**os.environ, **told}


@pytest.fixture
def worker_settings(settings: StoreSettings) -> WorkerSettings:
    return WorkerSettings(**settings.model_dump(), threads=1, resume_every_s=0, patience_s=20)


@pytest.fixture
def bench(worker_settings: WorkerSettings, database: Database, blobs: Blobs) -> Bench:
    wakes = Wakes()
    return Bench(Context(worker_settings, database, blobs, wakes, Stop()), wakes)


@pytest.fixture
def another(worker_settings: WorkerSettings) -> Iterator[Callable[[], Bench]]:
    """Makes further workers, each with a database of its own."""
    made: list[Database] = []

    def make() -> Bench:
        database = Database(worker_settings)
        made.append(database)
        wakes = Wakes()
        blobs = Blobs.of(worker_settings, database)
        return Bench(Context(worker_settings, database, blobs, wakes, Stop()), wakes)

    yield make
    for database in made:
        database.close()
