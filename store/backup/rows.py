"""The rows of all tables, out of a database and into one, by COPY.

COPY's text is the same for every version of PostgreSQL, and needs no other program.
"""

from __future__ import annotations

import graphlib
import gzip
from collections.abc import Sequence as Many
from pathlib import Path
from typing import cast

from psycopg import Connection, sql

from store.backup import folder
from store.backup.manifest import Sequence, Table

# The blobs' rows are written anew with their bytes, of a place that is the new database's own; the
# others are leases of running processes.
LEFT_OUT = frozenset(
    {"alembic_version", "blobs", "replicas", "serving", "store_identity", "workers"}
)
_PIECE = 1 << 20
# Receivers of webhooks pass over ids that they had, and listeners go on behind the last one: what
# is told after a restore has ids that the old machine, which went on for a while, never came to.
_AHEAD = {"events": 1_000_000_000}

Row = tuple[object, ...]
Link = Connection[Row]


def tables(link: Link) -> list[str]:
    """The schema's own tables, each behind those that it points at."""
    names = link.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = current_schema()::regnamespace ORDER BY relname"
    )
    order = graphlib.TopologicalSorter[str]({cast("str", name): () for (name,) in names})
    references = link.execute(
        "SELECT a.relname, b.relname FROM pg_constraint"
        " JOIN pg_class a ON a.oid = conrelid JOIN pg_class b ON b.oid = confrelid"
        " WHERE contype = 'f' AND conrelid <> confrelid"
        " AND a.relnamespace = current_schema()::regnamespace"
    )
    for name, other in references:
        order.add(cast("str", name), cast("str", other))
    return list(order.static_order())


def write(link: Link, table: str, path: Path) -> Table:
    """Write all rows of a table to a new file."""
    columns = _columns(link, table)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(names, sql.Identifier(table))
    with folder.create(path) as file, link.cursor() as cursor:
        packed = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)
        with packed, cursor.copy(query) as rows:
            for piece in rows:
                packed.write(piece)
        count = cursor.rowcount
    return Table(name=table, columns=columns, rows=count, sha256=folder.digest_of(path))


def read(link: Link, table: Table, path: Path) -> None:
    """Add the rows of a file to their table."""
    names = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), names)
    with gzip.open(path) as packed, link.cursor() as cursor, cursor.copy(query) as rows:
        while piece := packed.read(_PIECE):
            rows.write(piece)


def sequences(link: Link, names: Many[str]) -> list[Sequence]:
    """Where the numbers of those tables' columns have come to."""
    found = []
    for table in names:
        for column, sequence in _numbered(link, table):
            query = sql.SQL("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}")
            last = _one(link, query.format(sql.SQL(cast("str", sequence))))  # quoted already
            found.append(Sequence(table=table, column=cast("str", column), last=cast("int", last)))
    return found


def go_on(link: Link, sequence: Sequence) -> None:
    """Let the next number be one that was never given out."""
    column, table = sql.Identifier(sequence.column), sql.Identifier(sequence.table)
    greatest = _one(link, sql.SQL("SELECT max({}) FROM {}").format(column, table))
    last = max(cast("int | None", greatest) or 0, sequence.last) + _AHEAD.get(sequence.table, 0)
    if last:
        link.execute(
            "SELECT setval(pg_get_serial_sequence(quote_ident(%s), %s), %s)",
            (sequence.table, sequence.column, last),
        )


def free_claims(link: Link, names: Many[str]) -> None:
    """Whoever held a claim is not here: what was claimed is free at once, and nobody died of it."""
    for table in names:
        if "heartbeat_at" in _columns(link, table):
            name = sql.Identifier(table)
            query = "UPDATE {} SET heartbeat_at = NULL WHERE heartbeat_at IS NOT NULL"
            link.execute(sql.SQL(query).format(name))


def filled(link: Link, names: Many[str]) -> list[str]:
    """Those of the tables that have rows."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})")
    return [name for name in names if _one(link, query.format(sql.Identifier(name)))]


def seen_lately(link: Link, table: str, stale_s: float) -> int:
    """How many leases of that table were renewed within that time."""
    query = "SELECT count(*) FROM {} WHERE seen_at > clock_timestamp() - make_interval(secs => {})"
    count = _one(link, sql.SQL(query).format(sql.Identifier(table), sql.Literal(stale_s)))
    return cast("int", count)


def lock(link: Link, names: Many[str]) -> None:
    """Nobody else writes to those tables until the transaction ends."""
    every = sql.SQL(", ").join(map(sql.Identifier, names))
    link.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(every))


def _columns(link: Link, table: str) -> tuple[str, ...]:
    """A table's columns, without those that the database computes."""
    found = link.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = quote_ident(%s)::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        (table,),
    )
    return tuple(cast("str", name) for (name,) in found)


def _numbered(link: Link, table: str) -> list[Row]:
    """A table's numbered columns, and their sequences' names as SQL."""
    return link.execute(
        "SELECT attname, pg_get_serial_sequence(attrelid::regclass::text, attname)"
        " FROM pg_attribute WHERE attrelid = quote_ident(%s)::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attidentity <> ''",
        (table,),
    ).fetchall()


def _one(link: Link, query: sql.Composed) -> object:
    row = link.execute(query).fetchone()
    assert row is not None
    return row[0]
