"""`backup`, `verify-backup` and `restore`."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from store import keys
from store.admin.command import Command, Plain, Store
from store.admin.migrating import alembic_config
from store.backup import checking
from store.backup.folder import Folder
from store.backup.manifest import Manifest
from store.backup.restoring import Restorer
from store.backup.taking import take
from store.blobs import Blobs
from store.errors import BackupRefused, StoreError
from store.settings import StoreSettings

log = logging.getLogger(__name__)


def _back_up(store: Store, wanted: Namespace) -> int:
    try:
        blobs = Blobs.of(store.settings, store.database)
        made = take(store.settings, blobs, wanted.target, keep=wanted.keep)
    except (StoreError, OSError) as error:
        log.error("no backup in %s: %s", wanted.target, error)
        return 1
    log.info("backup %s: %s", made.id, _told(made))
    for digest in made.blobs.missing:
        log.error("backup %s lacks sha256:%s; ask `lure fsck` about it", made.id, digest)
    return 1 if made.blobs.missing else 0


def _verify(wanted: Namespace) -> int:
    folder = Folder(wanted.source)
    try:
        made = folder.get(wanted.backup)
        found = checking.faults(folder, made)
    except (StoreError, OSError) as error:
        found = [f"{wanted.source} cannot be read through: {error}"]
    for fault in found:
        log.error("%s", fault)
    if not found:
        log.info("backup %s is whole: %s", made.id, _told(made))
    return 1 if found else 0


def _restore(store: Store, wanted: Namespace) -> int:
    def migrate(revision: str) -> None:
        bring(store.settings, revision)

    try:
        blobs = Blobs.of(store.settings, store.database)
        restorer = Restorer(store.settings, blobs, migrate, takes_place=wanted.take_place)
        made = restorer.restore(wanted.source, wanted.backup)
        if not wanted.keep_revision:
            migrate("head")
    except (StoreError, OSError) as error:
        log.error("%s is not restored: %s", wanted.source, error)
        return 1
    log.info("restored backup %s: %s", made.id, _told(made))
    _tell_keys(store)
    return 0


def _tell_keys(store: Store) -> None:
    """A backup knows nothing of what was revoked after it."""
    with store.database.begin() as session:
        open_again = keys.active(session)
    for key in open_again:
        log.warning("the key %s of %s is valid, as it was then", key.id, key.name)
    if open_again:
        log.warning("revoke those that were revoked since, before others reach the service")


def bring(settings: StoreSettings, revision: str) -> None:
    """Migrate a database up or down to a revision."""
    config = alembic_config(settings)
    scripts = ScriptDirectory.from_config(config)
    known = [script.revision for script in scripts.walk_revisions()][::-1]
    if revision == "head":
        revision = known[-1]
    if revision not in known:
        raise BackupRefused(
            f"the backup's schema {revision} is of a later LURE than this one, which ends at"
            f" {known[-1]}: restore it with the release that took it"
        )
    now = _revision(settings)
    if now is not None and now not in known:
        raise BackupRefused(f"the database's schema {now} is of a later LURE than this one")
    if now is not None and known.index(now) > known.index(revision):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def _revision(settings: StoreSettings) -> str | None:
    engine = create_engine(settings.database_url, poolclass=NullPool)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _told(made: Manifest) -> str:
    size = made.blobs.size_bytes / (1 << 20)
    return (
        f"{made.rows} rows of schema {made.revision} and {made.blobs.count} blobs"
        f" ({size:.1f} MiB) of {made.taken_at:%Y-%m-%d %H:%M:%S} UTC, by LURE {made.lure}"
    )


def _backup_options(options: ArgumentParser) -> None:
    options.add_argument("target", type=_folder, help="the folder of backups")
    options.add_argument("--keep", type=_positive, help="delete all but the newest so many")


def _verify_options(options: ArgumentParser) -> None:
    options.add_argument("source", type=_folder, help="the folder of backups")
    options.add_argument("--backup", help="its id; the newest unless stated")


def _restore_options(options: ArgumentParser) -> None:
    _verify_options(options)
    options.add_argument(
        "--keep-revision", action="store_true", help="leave the schema as it was then"
    )
    options.add_argument(
        "--take-place",
        action="store_true",
        help="the blobs' place was the lost database's",
    )


def _folder(text: str) -> Path:
    if "://" in text:
        raise ArgumentTypeError(f"{text!r} should be a folder; mount it, or copy it from there")
    return Path(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


COMMANDS = (
    Command("backup", "copy rows and bytes of one moment", _back_up, _backup_options),
    Plain("verify-backup", "read a backup through", _verify, _verify_options),
    Command("restore", "fill an empty database from a backup", _restore, _restore_options),
)
