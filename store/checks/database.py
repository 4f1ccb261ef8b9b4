"""PostgreSQL: is it there, is it fit, is its schema ours, does it tell the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from store.checks.finding import Finding, failure, ok, skipped, warning
from store.settings import StoreSettings

_OLDEST, _OLD = 14, 15  # PostgreSQL's major versions: refused below, advised against below
_OFF_S, _FAR_OFF_S = 2.0, 60.0
_POOL = 20  # connections that one API process may open, see store.engine
_OF_WORKER = 4  # and one worker, with its children
_FEW_LEFT = 0.2

Link = psycopg.Connection[Any]


@dataclass(frozen=True)
class Asked:
    """What the checks need."""

    settings: StoreSettings
    revisions: Sequence[str]  # of the schema, those that this release knows, oldest first


def examine(asked: Asked) -> list[Finding]:
    """All that a database can be asked for over one connection."""
    url = asked.settings.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    checks: dict[str, Callable[[Link, Asked], Finding]] = {
        "schema": _schema,
        "durability": _durability,
        "connections": _connections,
        "clock": _clock,
    }
    bounds = "-c statement_timeout=5s -c timezone=UTC"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5, options=bounds) as link:
            return [_server(link), *(check(link, asked) for check in checks.values())]
    except psycopg.OperationalError as error:
        words = str(error).strip().splitlines()[0]
        remedy = "start PostgreSQL, or correct LURE_DATABASE_URL; its own log says more"
        gone = [skipped(name, "the database is not to be had") for name in checks]
        return [failure("database", words, remedy), *gone]


def _server(link: Link) -> Finding:
    major = link.info.server_version // 10_000
    found = f"PostgreSQL {link.info.parameter_status('server_version')}"
    if major < _OLDEST:
        return failure("database", found, f"PostgreSQL {_OLD} or newer is needed")
    if major < _OLD:
        return warning("database", found, f"PostgreSQL {_OLD} or newer is what is tested")
    return ok("database", found)


def _schema(link: Link, asked: Asked) -> Finding:
    head, migrate = asked.revisions[-1], "run `python -m store.admin migrate` once"
    if _one(link, "SELECT to_regclass('alembic_version')") is None:
        return failure("schema", "none yet", migrate)
    now = _one(link, "SELECT version_num FROM alembic_version")
    if now == head:
        return ok("schema", f"{now}, the newest")
    if now not in asked.revisions:
        remedy = "it is borne for one release: upgrade this machine's processes"
        return warning("schema", f"{now}, of a later release than this one ({head})", remedy)
    found = f"{now}, and the newest is {head}"
    behind = len(asked.revisions) - 1 - asked.revisions.index(now)
    if behind == 1:
        return warning("schema", f"{found}: what came with it does not work yet", migrate)
    return failure("schema", found, migrate)


def _durability(link: Link, _: Asked) -> Finding:
    unsafe = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if _one(link, f"SHOW {name}") == "off"
    ]
    if unsafe:
        remedy = f"set {', '.join(f'{name} = on' for name in unsafe)} in postgresql.conf"
        found = f"{', '.join(unsafe)} off: a crash may lose what clients were promised"
        return failure("durability", found, remedy)
    return ok("durability", "what is committed survives a crash")


def _connections(link: Link, asked: Asked) -> Finding:
    reserved = int(_one(link, "SHOW superuser_reserved_connections"))
    room = int(_one(link, "SHOW max_connections")) - reserved
    backends = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    used = int(_one(link, backends))
    wanted = _POOL * _alive(link, "replicas", asked) + _OF_WORKER * _alive(link, "workers", asked)
    found = f"{used} of {room} in use; the live processes may ask for {wanted}"
    remedy = "raise max_connections of PostgreSQL, or run fewer processes"
    if used > (1 - _FEW_LEFT / 4) * room:
        return failure("connections", found, remedy)
    if used > (1 - _FEW_LEFT) * room or wanted > room:
        return warning("connections", found, remedy)
    return ok("connections", found)


def _alive(link: Link, table: str, asked: Asked) -> int:
    """How many leases of that table are fresh; none where there is no such table."""
    if _one(link, f"SELECT to_regclass('{table}')") is None:
        return 0
    age = f"clock_timestamp() - make_interval(secs => {asked.settings.stale_s})"
    return int(_one(link, f"SELECT count(*) FROM {table} WHERE seen_at > {age}"))  # noqa: S608


def _clock(link: Link, _: Asked) -> Finding:
    began, began_at = time.monotonic(), time.time()
    theirs = float(_one(link, "SELECT extract(epoch FROM clock_timestamp())"))
    took = time.monotonic() - began
    off = began_at + took / 2 - theirs
    found = f"this machine is {off:+.1f} s off the database's clock"
    if abs(off) <= _OFF_S + took / 2:
        return ok("clock", found)
    remedy = "let both follow NTP (chrony, systemd-timesyncd)"
    make = failure if abs(off) > _FAR_OFF_S else warning
    return make("clock", found, remedy)


def _one(link: Link, query: str) -> Any:
    row = link.execute(query.encode()).fetchone()
    return None if row is None else row[0]
