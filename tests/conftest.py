"""Real PostgreSQL and Redis for every test that asks for them; the schema is the migrations'."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from lure.servers import Postgres, Redis
from store.admin.migrating import migrate
from store.blobs import Blobs
from store.bus import Bell
from store.engine import Database
from store.models import Base, StoreIdentity
from store.settings import StoreSettings
from tests.buckets import S3
from tests.relay import Relay


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a CUDA device where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not _has_cuda():
        config.hook.pytest_deselected(items=on_gpu)
        items[:] = [item for item in items if item not in on_gpu]


def _has_cuda() -> bool:
    # asked of a process of its own: torch is slow to load, and most runs need it not at all
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass(frozen=True)
class Servers:
    postgres: Postgres
    redis: Redis


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One PostgreSQL, migrated, and one Redis for the whole run."""
    folder = tmp_path_factory.mktemp("servers")
    with Postgres(folder / "postgres") as postgres, Redis(folder / "redis") as redis:
        yield Servers(postgres, redis)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 endpoint for the whole run; a test that stops it brings its own."""
    endpoint = S3(tmp_path_factory.mktemp("s3")).start()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def relay(s3: S3) -> Iterator[Relay]:
    """The way to that endpoint, which a test may cut."""
    relay = Relay(s3.port)
    yield relay
    relay.down()


def settings_for(servers: Servers, blobs: Path) -> StoreSettings:
    """Settings with quick clocks."""
    return StoreSettings(
        database_url=servers.postgres.url,
        redis_url=servers.redis.url,
        blobs=blobs,
        heartbeat_s=0.2,
        stale_s=1.0,
        sweep_s=0.5,
        poll_s=0.5,
        log_json=False,
    )


@pytest.fixture(scope="session")
def _migrated(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = settings_for(servers, tmp_path_factory.mktemp("unused"))
    database = Database(settings)
    migrate(settings, database)
    database.close()


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> StoreSettings:
    """Settings of one test, with blobs of its own."""
    return settings_for(servers, tmp_path / "blobs")


@pytest.fixture
def database(_migrated: None, settings: StoreSettings) -> Iterator[Database]:
    """The migrated database; emptied when the test is over."""
    bell = Bell(settings)
    database = Database(settings, on_events=bell.ring)
    yield database
    database.close()
    bell.close()
    empty(settings.database_url)


@pytest.fixture
def blobs(settings: StoreSettings, database: Database) -> Blobs:
    """Blobs whose place is known to be the database's: factories write rows without bytes."""
    found = Blobs.of(settings, database)
    found.adopt()
    return found


def empty(database_url: str) -> None:
    """Remove every row but the database's id, which a module's own blobs may be marked with.

    DELETE, because TRUNCATE makes new files for every table.
    """
    url = database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        # whoever still holds a transaction is a test that went wrong; it must not hang the next
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with connection.transaction():
            for table in reversed(Base.metadata.sorted_tables):
                if table.name == StoreIdentity.__tablename__:
                    continue
                connection.execute(f"DELETE FROM {table.name}")
            connection.execute("SELECT setval(pg_get_serial_sequence('events', 'id'), 1, false)")
