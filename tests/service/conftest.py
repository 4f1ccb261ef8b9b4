from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog

from store import chunks, streams
from store.blobs import Blobs
from store.bus import Bell
from store.engine import Database
from tests.conftest import Servers, empty, settings_for
from tests.factories import create_stream
from tests.service.control import files
from tests.service.serving import running, service_settings

_numbers = itertools.count(1)

structlog.configure(  # as store.observe does: rich's tracebacks take seconds
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@dataclass(frozen=True)
class Plane:
    """A running service for the tests of one module, each with streams of its own."""

    client: httpx.Client
    url: str
    database: Database
    blobs: Path
    redis_url: str

    def new_name(self) -> str:
        return f"stream-{next(_numbers)}"

    def new_stream(self) -> str:
        return create_stream(self.database, self.new_name()).name

    def assert_nothing_came_of(self, stream: str, before: set[Path]) -> None:
        """No chunk, and no file, finished or not, that was not there before."""
        with self.database.begin() as session:
            page = chunks.page(session, streams.get(session, stream), size=10)
        assert list(page.items) == []
        assert files(self.blobs) == before


@pytest.fixture(scope="module")
def plane(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    settings = settings_for(servers, tmp_path_factory.mktemp("plane") / "blobs")
    bell = Bell(settings)
    database = Database(settings, on_events=bell.ring)
    small = service_settings(
        settings, max_upload_bytes=160 << 20, upload_idle_s=1.0, max_json_bytes=100_000
    )
    with running(small) as api:
        Blobs.of(settings, database).adopt()  # factories write rows without bytes
        yield Plane(api.client, api.url, database, Path(settings.blobs), settings.redis_client_url)
    database.close()
    bell.close()
    empty(settings.database_url)


@pytest.fixture
def client(plane: Plane) -> httpx.Client:
    return plane.client


@pytest.fixture
def stream(plane: Plane) -> str:
    """The name of a new stream."""
    return plane.new_stream()
