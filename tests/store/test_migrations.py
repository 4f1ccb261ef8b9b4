"""Up, down and up again, and the models say what the schema is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations
from store.admin import alembic_config
from store.models import Base
from tests.conftest import Servers

NAME = "migrations_test"


@pytest.fixture
def engine(servers: Servers) -> Iterator[sa.Engine]:
    """A database of its own, empty."""
    admin = sa.create_engine(
        servers.postgres.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {NAME}"))
        connection.execute(sa.text(f"CREATE DATABASE {NAME}"))
    yield sa.create_engine(servers.postgres.url_of(NAME), poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {NAME}"))


@pytest.fixture
def config(engine: sa.Engine) -> Config:
    config = alembic_config()
    config.attributes["connection"] = engine
    return config


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def test_the_history_has_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_each_migration_goes_up_down_and_up_again(config: Config, engine: sa.Engine) -> None:
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    for revision in revisions:
        command.upgrade(config, revision.revision)
        after = tables(engine)
        command.downgrade(config, "-1")
        command.upgrade(config, revision.revision)
        assert tables(engine) == after


def test_going_all_the_way_down_leaves_nothing(config: Config, engine: sa.Engine) -> None:
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    assert tables(engine) == {"alembic_version"}


def test_the_models_match_the_schema(config: Config) -> None:
    command.upgrade(config, "head")
    command.check(config)


def test_every_migration_bounds_its_wait_for_locks() -> None:
    scripts = list(Path(migrations.__path__[0], "versions").glob("*.py"))
    assert scripts
    for script in scripts:
        assert script.read_text().count("SET LOCAL lock_timeout") == 2, script.name


DEFINITIONS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
    UNION ALL
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    ORDER BY 1, 2, 3
"""


def test_constraints_and_partial_indexes_match_too(config: Config, engine: sa.Engine) -> None:
    """`alembic check` looks at neither states in CHECK constraints nor predicates of indexes."""
    command.upgrade(config, "head")
    with engine.connect() as connection:
        migrated = connection.execute(sa.text(DEFINITIONS)).all()
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.text(f"DROP TABLE {table.name} CASCADE"))
        Base.metadata.create_all(connection)
        modelled = connection.execute(sa.text(DEFINITIONS)).all()
    assert migrated == modelled
