"""Up, down and up again, and the models say what the schema is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations
from lure.waiting import until
from store.admin.migrating import alembic_config, migrate
from store.engine import Database
from store.models import Base
from tests.conftest import Servers, settings_for

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


DEFINITIONS = """
    SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
    UNION ALL
    SELECT tablename::text, indexname::text, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT relname::text, attname::text, concat_ws(
        ' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END,
        'DEFAULT ' || pg_get_expr(adbin, adrelid), 'IDENTITY ' || nullif(attidentity::text, '')
    )
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND attnum > 0 AND NOT attisdropped AND relname <> 'alembic_version'
    ORDER BY 1, 2, 3
"""
"""Each constraint, index and column: its table, its name, and all that it says."""


def definitions(engine: sa.Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(DEFINITIONS))]


def test_the_history_has_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


def test_each_migration_goes_up_down_and_up_again(config: Config, engine: sa.Engine) -> None:
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    for revision in revisions:
        command.ensure_version(config)
        before = definitions(engine)
        command.upgrade(config, revision.revision)
        after = definitions(engine)
        assert after != before
        command.downgrade(config, "-1")
        assert definitions(engine) == before
        command.upgrade(config, revision.revision)
        assert definitions(engine) == after


def test_columns_are_compared_by_all_that_they_say(config: Config, engine: sa.Engine) -> None:
    command.upgrade(config, "head")
    found = {(table, name): says for table, name, says in definitions(engine)}
    assert found["streams", "id"] == "bigint NOT NULL IDENTITY d"
    assert found["streams", "open_classes"] == "boolean NOT NULL DEFAULT false"
    assert found["versions", "known_classes"] == "integer"


def test_going_all_the_way_down_leaves_nothing(config: Config, engine: sa.Engine) -> None:
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]


def test_the_models_match_the_schema(config: Config) -> None:
    command.upgrade(config, "head")
    command.check(config)


def test_every_migration_bounds_its_wait_for_locks() -> None:
    scripts = list(Path(migrations.__path__[0], "versions").glob("*.py"))
    assert scripts
    for script in scripts:
        assert script.read_text().count("SET LOCAL lock_timeout") == 2, script.name


def test_constraints_and_partial_indexes_match_too(config: Config, engine: sa.Engine) -> None:
    """`alembic check` looks at neither states in CHECK constraints nor predicates of indexes.

    Nor at columns' defaults.
    """
    command.upgrade(config, "head")
    migrated = definitions(engine)
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.text(f"DROP TABLE {table.name} CASCADE"))
        Base.metadata.create_all(connection)
    assert migrated == definitions(engine)


def waiting(engine: sa.Engine) -> int:
    """How many wait for a lock in that database now."""
    with engine.connect() as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
        )
        return connection.scalars(sa.text(f"{query} '{NAME}'")).one()


def test_a_lock_that_somebody_holds_is_waited_for_and_taken_later(
    config: Config, engine: sa.Engine, servers: Servers, tmp_path: Path
) -> None:
    command.upgrade(config, "0003")
    settings = settings_for(servers, tmp_path).model_copy(
        update={"database_url": servers.postgres.url_of(NAME)}
    )
    database = Database(settings)
    migrating = threading.Thread(target=migrate, args=(settings, database), daemon=True)
    with engine.begin() as connection:  # as whoever writes to a stream for very long
        connection.execute(sa.text("LOCK TABLE streams IN ROW EXCLUSIVE MODE"))
        migrating.start()
        assert until(lambda: waiting(engine) == 1, timeout_s=60)
        assert until(lambda: waiting(engine) == 0, timeout_s=60)  # it has given up
        assert until(lambda: waiting(engine) == 1, timeout_s=60)  # and comes again
    migrating.join()
    database.close()
    assert sa.inspect(engine).has_table("webhooks")


FIRST_ROWS: dict[str, dict[str, Any]] = {
    "streams": {
        **{"name": "digits", "classes": ["a", "b"], "architecture": "mlp", "seed": 7},
        **{"input": {"channels": 1, "height": 8, "width": 8}, "recipe": {"epochs": 2}},
        **{"policies": {"gate": {"tolerance": 0.02}}, "next_version": 2},
    },
    "cycles": {
        **{"id": "cyc_1", "stream_id": 1, "state": "succeeded", "strategy": "learn", "replay": []},
        **{"seed": 7, "ordinal": 1, "version": 1},
    },
    "versions": {
        **{"stream_id": 1, "version": 1, "cycle_id": "cyc_1", "ordinal": 1, "chunks": ["chk_1"]},
        **{"strategy": "learn", "state": "ready", "metrics": {"accuracy": 0.5}, "verdict": {}},
        **{"environment": {}, "digest": "d", "sidecar_digest": "s", "size_bytes": 9},
    },
}
"""As those who knew no open class lists wrote them, by table."""


def rows(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    """The one row of each of those tables, as the schema of this moment has it."""
    found = {}
    with engine.connect() as connection:
        for table in FIRST_ROWS:
            row = connection.execute(sa.text(f"SELECT * FROM {table}")).one()
            found[table] = dict(row._mapping)
    return found


def test_rows_of_the_first_schema_survive_the_second_and_the_way_back(
    config: Config, engine: sa.Engine
) -> None:
    command.upgrade(config, "0001")
    first = sa.MetaData()
    first.reflect(engine)
    with engine.begin() as connection:
        for table, row in FIRST_ROWS.items():
            connection.execute(sa.insert(first.tables[table]).values(row))
    before = rows(engine)
    assert all(FIRST_ROWS[table].items() <= row.items() for table, row in before.items())

    command.upgrade(config, "0002")
    after = rows(engine)
    assert after["streams"] == before["streams"] | {"open_classes": False}
    assert after["cycles"] == before["cycles"]
    assert after["versions"] == before["versions"] | {"known_classes": None, "replayed": None}

    command.downgrade(config, "0001")
    assert rows(engine) == before
