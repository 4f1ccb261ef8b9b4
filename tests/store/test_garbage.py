"""Which blobs are garbage is told by one search."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from store import garbage
from store.engine import Database
from store.models import ApiKey, Base, Blob


def test_the_search_for_garbage_looks_nothing_up_row_by_row(database: Database) -> None:
    """A subplan that outgrows its memory scans a whole table for each blob."""
    search = sa.select(Blob.digest).where(garbage._is_garbage())
    words = search.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with database.begin() as session:
        plan = "\n".join(session.scalars(sa.text(f"EXPLAIN {words}")))
    assert plan.count("Anti Join") == len(garbage._naming()), plan
    assert "SubPlan" not in plan, plan


def test_each_digest_that_names_a_blob_is_searched_by_an_index() -> None:
    tables = Base.metadata.tables.values()
    named = {
        (table.name, column.name)
        for table in tables
        for column in table.columns
        if column.name.endswith("digest") and table not in (Blob.__table__, ApiKey.__table__)
    }
    indexed = {
        (table.name, index.columns[0].name)
        for table in tables
        for index in table.indexes
        if index.dialect_options["postgresql"]["where"] is None
    }
    assert named <= indexed
    search = str(sa.select(Blob.digest).where(garbage._is_garbage()))
    assert [one for one in named if f"{'.'.join(one)} = blobs.digest" not in search] == []
