"""PostgreSQL as `lure doctor` sees it, with each fault planted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import psycopg
import pytest
from alembic.script import ScriptDirectory

from store.admin.backup import bring
from store.admin.migrating import alembic_config
from store.checks.database import Asked, examine
from store.checks.finding import State
from store.engine import Database
from store.settings import StoreSettings
from tests.conftest import Servers
from tests.store.checks.reading import finding_of, state_of

REVISIONS = [
    script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
][::-1]
_numbers = itertools.count(1)


@pytest.fixture
def own(settings: StoreSettings, servers: Servers) -> Iterator[StoreSettings]:
    """A database of the test's own, without a schema."""
    name = f"doctor_{next(_numbers)}"
    with psycopg.connect(plain(servers.postgres.url), autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}".encode())
        yield settings.model_copy(update={"database_url": servers.postgres.url_of(name)})
        link.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def asked(settings: StoreSettings) -> Asked:
    return Asked(settings, REVISIONS)


def test_all_is_well(database: Database, settings: StoreSettings) -> None:
    found = examine(asked(settings))
    assert {finding.name: finding.state for finding in found} == {
        "database": State.OK,
        "schema": State.OK,
        "durability": State.OK,
        "connections": State.OK,
        "clock": State.OK,
    }


def test_a_dead_database_is_one_failure_and_the_rest_is_skipped(settings: StoreSettings) -> None:
    dead = settings.model_copy(update={"database_url": "postgresql+psycopg://u@127.0.0.1:9/x"})
    first, *others = examine(asked(dead))
    assert first.state is State.FAILURE
    assert "LURE_DATABASE_URL" in first.remedy
    assert {finding.state for finding in others} == {State.SKIPPED}


def test_no_schema_is_a_failure(own: StoreSettings) -> None:
    assert state_of(examine(asked(own)), "schema") is State.FAILURE


def test_the_schema_of_the_release_before_is_borne(own: StoreSettings) -> None:
    bring(own, REVISIONS[-2])
    found = finding_of(examine(asked(own)), "schema")
    assert found.state is State.WARNING
    assert "migrate" in found.remedy


def test_an_older_schema_is_a_failure(own: StoreSettings) -> None:
    bring(own, REVISIONS[-3])
    assert state_of(examine(asked(own)), "schema") is State.FAILURE


def test_a_schema_of_a_later_release_is_told(own: StoreSettings) -> None:
    bring(own, REVISIONS[-1])
    found = finding_of(examine(Asked(own, REVISIONS[:-1])), "schema")
    assert found.state is State.WARNING
    assert "later release" in found.found


def test_a_database_that_may_forget_is_a_failure(own: StoreSettings) -> None:
    with psycopg.connect(plain(own.database_url), autocommit=True) as link:
        link.execute(f"ALTER DATABASE {link.info.dbname} SET synchronous_commit = off".encode())
    found = finding_of(examine(asked(own)), "durability")
    assert found.state is State.FAILURE
    assert "synchronous_commit = on" in found.remedy


def test_too_few_connections_for_the_processes_are_told(
    database: Database, settings: StoreSettings
) -> None:
    with psycopg.connect(plain(settings.database_url), autocommit=True) as link:
        link.execute("INSERT INTO replicas (id) SELECT 'r' || n FROM generate_series(1, 50) n")
    patient = settings.model_copy(update={"stale_s": 600.0})
    found = finding_of(examine(asked(patient)), "connections")
    assert found.state is State.WARNING
    # nothing that was not tried: PgBouncer refuses the options with which processes connect
    assert found.remedy == "raise max_connections of PostgreSQL, or run fewer processes"


@pytest.mark.parametrize(("off_s", "state"), [(30, State.WARNING), (3600, State.FAILURE)])
def test_a_clock_that_is_off_is_told(
    database: Database,
    settings: StoreSettings,
    monkeypatch: pytest.MonkeyPatch,
    off_s: int,
    state: State,
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + off_s)
    assert state_of(examine(asked(settings)), "clock") is state
