"""`init`: the secrets of a stack that has none yet, each where only its readers see it.

One folder a reader, because in containers each is a volume of its own:

    postgres/password    what the database's user is made with
    redis/redis.conf     Redis's password, as its own configuration says it
    workers/lure_…       settings of `admit`, `learn`, `beat` and `migrate` (`LURE_SECRETS_DIR`)
    api/lure_…           the API's, and the first administrator's key, which nobody else has
    prometheus/key       what Prometheus shows; it opens `/metrics` alone, and the API knows it
    grafana/password     of Grafana's user `admin`
    s3/credentials       of the S3-compatible store, where the stack has one (`--s3`)

What is there stays. The files of the servers can be read by everybody in their container, because
each image drops to a user of its own; the settings of LURE's can be read by their owner alone.
"""

from __future__ import annotations

import logging
import secrets
from argparse import ArgumentParser, Namespace
from pathlib import Path
from urllib.parse import urlsplit

from store.admin.command import Plain
from store.secrets import keep

_READERS = ("postgres", "redis", "workers", "api", "prometheus", "grafana")
_SERVERS, _OWN = 0o444, 0o400
_S3_USER = "lure"
_REQUIRE = "requirepass "  # Redis's word for its password

log = logging.getLogger(__name__)


def api_key() -> str:
    """A new key: 256 random bits."""
    return f"lure_{secrets.token_urlsafe(32)}"


def password() -> str:
    """A new password of characters that need no quoting anywhere: 256 random bits."""
    return secrets.token_hex(32)


def initialise(folder: Path, *, s3: bool = False) -> None:
    """Make the secrets that are not there yet.

    Args:
        folder: Gets a folder for each reader.
        s3: Whether the stack has an S3-compatible store of its own. Without one, LURE's containers
            are told no key: a bucket of somebody else's may need none.

    Raises:
        ValueError: A file is there and does not go with the others.
        OSError: One cannot be read or written.
    """
    for reader in _READERS:
        (folder / reader).mkdir(parents=True, exist_ok=True)
    known = folder / "workers"
    postgres = keep(
        folder / "postgres/password",
        lambda: _known(known / "lure_database_url") or password(),
        mode=_SERVERS,
    )
    line = keep(
        folder / "redis/redis.conf",
        lambda: _REQUIRE + (_known(known / "lure_redis_url") or password()),
        mode=_SERVERS,
    )
    if not line.startswith(_REQUIRE):
        raise ValueError(f"{folder / 'redis/redis.conf'} has no line {_REQUIRE!r}")
    shared = {
        "lure_database_url": f"postgresql+psycopg://lure:{postgres}@postgres:5432/lure",
        "lure_redis_url": f"redis://:{line.removeprefix(_REQUIRE)}@redis:6379/0",
    }
    for reader in ("workers", "api"):
        for name, text in shared.items():
            _agree(folder / reader / name, text, mode=_OWN)
    keep(folder / "api/lure_bootstrap_key", api_key, mode=_OWN)
    metrics = keep(folder / "api/lure_metrics_key", api_key, mode=_OWN)
    _agree(folder / "prometheus/key", metrics, mode=_SERVERS)
    keep(folder / "grafana/password", password, mode=_SERVERS)
    if s3:
        _initialise_s3(folder)


def _initialise_s3(folder: Path) -> None:
    (folder / "s3").mkdir(exist_ok=True)
    secret = keep(folder / "workers/lure_s3_secret_access_key", password, mode=_OWN)
    lines = f"ROOT_ACCESS_KEY={_S3_USER}\nROOT_SECRET_KEY={secret}"
    for path, text, mode in (
        ("workers/lure_s3_access_key_id", _S3_USER, _OWN),
        ("api/lure_s3_access_key_id", _S3_USER, _OWN),
        ("api/lure_s3_secret_access_key", secret, _OWN),
        ("s3/credentials", lines, _SERVERS),
    ):
        _agree(folder / path, text, mode=mode)


def _known(url: Path) -> str | None:
    """The password in a URL that was kept: a server that lost its file still goes by it."""
    return urlsplit(url.read_text("utf-8").strip()).password if url.exists() else None


def _agree(path: Path, text: str, *, mode: int) -> None:
    """Raises ValueError where the file says something else."""
    if keep(path, lambda: text, mode=mode) != text:
        raise ValueError(f"{path} does not go with the others; delete the one that is wrong")


def _init(wanted: Namespace) -> int:
    folder: Path = wanted.folder
    before = _files(folder)
    try:
        initialise(folder, s3=wanted.s3)
    except (OSError, ValueError) as error:
        log.error("no secrets: %s", error)
        return 1
    for path in sorted(_files(folder) - before):
        log.info("made %s", path.relative_to(folder))
    log.info("all secrets are there")
    return 0


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.glob("*/*") if path.is_file()}


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="has a folder for each reader")
    parser.add_argument("--s3", action="store_true", help="the stack has an S3-compatible store")


COMMANDS = (Plain("init", "make the secrets of a stack that has none yet", _init, _options),)
