"""What must hold before anybody beyond this machine can reach the service.

It refuses to start without a key, and with passwords that everybody knows. There is no setting that
allows it: who wants it open keeps it on loopback and puts something of their own before it.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import structlog

from service.settings import ServiceSettings
from store import bootstrap, keys
from store.engine import Database
from store.errors import DatabaseAway
from store.models import ApiKey
from store.schema import has

_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.5
# what images, examples and tutorials ship with
_KNOWN_TO_ALL = frozenset(
    (
        *("lure", "postgres", "postgresql", "redis", "minioadmin", "foobared", "default"),
        *("password", "passwd", "pass", "secret", "changeme", "change-me", "change_me", "letmein"),
        *("admin", "root", "user", "test", "guest", "example", "123456", "12345678"),
    )
)
_SHORTEST = 12  # characters of a password; with fewer all of them can be tried
_FEWEST = 5  # different ones among them
_CERTIFICATES = ("sslcert", "passfile", "service")  # libpq's other ways to say who one is
_NO_KEY = (
    "there is no API key, and the service would listen on {host}, where others can reach it. Make"
    " one first: python -m store.admin create-key NAME (or put the text of one into the file"
    " lure_bootstrap_key in LURE_SECRETS_DIR). Without keys it runs on LURE_HOST=127.0.0.1 only."
)
_OLDER = (
    "the database's schema is older than this service and has no API keys, without which it does"
    " not listen on {host}. Run the migration: python -m store.admin migrate"
)
_AWAY = (
    "the database could not be reached for {patience:.0f} s, so that nobody can tell whether there"
    " are API keys, without which the service does not listen on {host}: {error}"
)

log = structlog.get_logger(__name__)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def faults(settings: ServiceSettings, *, patience_s: float = _PATIENCE_S) -> list[str]:
    """Why the service must not start; also makes known the keys that lie in files.

    On loopback the database may be away, or older: then that is done without.

    Args:
        settings: Where it listens, and where everything is.
        patience_s: For the database to answer, where it must.
    """
    if is_loopback(settings.host):
        _register_if_there(settings)
        return []
    found = list(_weak(settings))
    if not found and (words := _without_keys(settings, patience_s)) is not None:
        found.append(words)
    return found


def _register_if_there(settings: ServiceSettings) -> None:
    if settings.secrets_dir is None:
        return
    database = Database(settings)
    try:
        _register(database, settings)
    except DatabaseAway as error:
        log.warning("the keys in files are not made known", error=str(error))
    finally:
        database.close()


def _register(database: Database, settings: ServiceSettings) -> None:
    with database.begin() as session:
        for name in bootstrap.register(session, settings.secrets_dir):
            log.info("key made known", name=name)


def _without_keys(settings: ServiceSettings, patience_s: float) -> str | None:
    """Words if there is no key."""
    database = Database(settings)
    until = time.monotonic() + patience_s
    try:
        while True:
            try:
                return _look(database, settings)
            except DatabaseAway as error:
                if time.monotonic() > until:
                    told = {"patience": patience_s, "host": settings.host, "error": error}
                    return _AWAY.format(**told)
                log.info("waiting for the database")
                time.sleep(_LOOK_EVERY_S)
    finally:
        database.close()


def _look(database: Database, settings: ServiceSettings) -> str | None:
    with database.begin() as session:
        if not has(session, ApiKey):
            return _OLDER.format(host=settings.host)
    _register(database, settings)
    with database.begin() as session:
        if keys.any_made(session):
            return None
    return _NO_KEY.format(host=settings.host)


def _weak(settings: ServiceSettings) -> Iterator[str]:
    """A line for each password that is missing, or known to everybody."""
    secret = settings.s3_secret_access_key
    judged = (
        ("LURE_DATABASE_URL", _fault_of(settings.database_url)),
        ("LURE_REDIS_URL", _fault_of(settings.redis_url)),
        ("LURE_S3_SECRET_ACCESS_KEY", secret and _fault_of_text(secret, settings.s3_access_key_id)),
    )
    for name, fault in judged:
        if fault:
            yield (
                f"{name} {fault}, and the service would listen on {settings.host}, where others can"
                " reach it. Give the server a password of its own: openssl rand -hex 32"
            )


def _fault_of(url: str) -> str | None:
    parts = urlsplit(url)
    if not _is_over_tcp(parts):
        return None
    query = parse_qs(parts.query)
    if parts.scheme.startswith("postgresql") and any(name in query for name in _CERTIFICATES):
        return None
    return _fault_of_text(_password(parts, query), parts.username)


def _fault_of_text(password: str, user: str | None) -> str | None:
    password = password.strip()
    if not password:
        return "has no password"
    if password.lower() in _KNOWN_TO_ALL or password == user:
        return "has a password that everybody knows"
    if len(password) < _SHORTEST or len(set(password)) < _FEWEST:
        return f"has a password that can be guessed (at least {_SHORTEST} characters, at random)"
    return None


def _password(parts: SplitResult, query: dict[str, list[str]]) -> str:
    told = unquote(parts.password or "") or "".join(query.get("password", []))
    if not told and parts.scheme.startswith("postgresql"):
        return os.environ.get("PGPASSWORD", "")
    return told


def _is_over_tcp(parts: SplitResult) -> bool:
    """Whether others could listen there too; a unix socket's folder says who may."""
    if "socket" in parts.scheme or parts.scheme.startswith("unix"):
        return False
    if not parts.scheme.startswith("postgresql") or parts.hostname:
        return True
    query = parse_qs(parts.query)
    told = query.get("host") or [os.environ.get("PGHOST", "")]
    hosts = [host for some in told for host in some.split(",") if host]  # libpq tries each
    return "hostaddr" in query or not all(host.startswith("/") for host in hosts)
