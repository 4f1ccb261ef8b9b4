"""Passwords that everybody knows, and files that everybody can read."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

from store.checks.finding import Finding, failure, ok, skipped, warning
from store.settings import StoreSettings

_KNOWN = frozenset(
    {"admin", "change-me", "changeme", "default", "lure", "password", "postgres", "redis", "root"}
    | {"secret", "test"}
)
_LOCAL = frozenset({None, "", "localhost", "127.0.0.1", "::1"})


def passwords(settings: StoreSettings) -> list[Finding]:
    """The passwords of the database and of Redis."""
    return [
        _password("password, database", "LURE_DATABASE_URL", settings.database_url),
        _password("password, redis", "LURE_REDIS_URL", settings.redis_url),
    ]


def _password(name: str, variable: str, url: str) -> Finding:
    parts = urlsplit(url)
    remedy = f"set one of its own there and in {variable}: openssl rand -hex 32"
    if parts.password in _KNOWN or (parts.password and parts.password == parts.username):
        return failure(name, "one that everybody tries first", remedy)
    if parts.password:
        return ok(name, "one of its own")
    if parts.hostname in _LOCAL:
        return ok(name, "none, over this machine's own socket or loopback")
    return warning(name, f"none, for {parts.hostname}: whoever reaches it may use it", remedy)


def files(settings: StoreSettings) -> list[Finding]:
    """Who may read the files with secrets."""
    name = "secret files"
    if settings.secrets_dir is None:
        return [skipped(name, "LURE_SECRETS_DIR is not set")]
    secret = sorted(path for path in settings.secrets_dir.glob("lure_*") if path.is_file())
    opened = [path.name for path in secret if _is_open(path)]
    if opened:
        remedy = f"chmod o-rwx {settings.secrets_dir}/lure_*"
        return [warning(name, f"every user may read {', '.join(opened)}", remedy)]
    return [ok(name, f"{len(secret)} in {settings.secrets_dir}, closed to other users")]


def _is_open(path: Path) -> bool:
    """Whether every user of this machine may read it: the file, in a folder that lets them in."""
    folder = path.parent.stat().st_mode & stat.S_IXOTH
    return bool(folder and path.stat().st_mode & stat.S_IROTH)
