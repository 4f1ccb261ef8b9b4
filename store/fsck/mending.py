"""Mends what can be mended without losing anything that is not lost already."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

from sqlalchemy import update

from store import artifacts, garbage, packs, streams
from store.blobs import KEEP_S, Blobs, rows
from store.engine import Database, Session
from store.errors import BackupRefused
from store.fsck.faults import REMEDIES, Fault, What
from store.models import Cycle, Rerun
from store.naming import Kind, Name

_FORGETTABLE = {
    Kind.EXPORT: "it is made again",
    Kind.PREDICTIONS: "they are forgotten",
    Kind.RESUME_STATE: "the cycle begins anew",
    Kind.RERUN_STATE: "the rerun begins anew",
}


class Mender:
    """Mends one fault after the other.

    Args:
        database: Where the rows are.
        blobs: Where the bytes are.
        source: A folder with bytes by their digest: of a backup, or another store's.
        repairs: Change rows too; else lost bytes are brought back from `source`, and that is all.

    Raises:
        BackupRefused: Nothing lies in `source` by its digest.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        source: Path | None = None,
        *,
        repairs: bool = True,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._folders = [] if source is None else _folders(source)
        self._repairs = repairs

    def mend(self, fault: Fault) -> Fault:
        """The fault, with what was done about it and what is left to do."""
        if fault.what in (What.MISSING, What.DAMAGED):
            return self._mend_lost(fault)
        if not self._repairs:
            return fault
        mended = self._tidy(fault)
        return dataclasses.replace(fault, mended=mended, remedy=None if mended else fault.remedy)

    def _tidy(self, fault: Fault) -> str | None:
        """What was done about a fault by which nothing is lost; None if it is none any more."""
        digest = fault.digest
        if fault.what is What.ASIDE:
            garbage.settle(self._database, self._blobs, digest)
            return "they are back in their place" if self._blobs.exists(digest) else None
        if fault.what is What.EMPTY:
            is_deleted = garbage.delete_blob(self._database, self._blobs, digest)
            return "the row is deleted" if is_deleted else None
        if fault.what is What.SCRATCH:
            garbage.clear_scratch(self._blobs)
            return "it is deleted"
        rows.touch(self._database, digest, fault.size_bytes or 0, KEEP_S)
        if fault.what is What.UNLISTED:
            return "they have their row again"
        return "they have a row, and are deleted in an hour unless somebody names them"

    def _mend_lost(self, fault: Fault) -> Fault:
        found = self._find(fault.digest)
        if found is not None and self._bring_back(found, fault.digest):
            return dataclasses.replace(fault, mended=f"brought back from {found}", remedy=None)
        if not self._repairs:
            return fault
        if fault.what is What.DAMAGED:  # or a bucket would rely on it when the bytes are put again
            self._blobs.clear_damage(fault.digest)
        left = [name for name in fault.names if name.kind not in _FORGETTABLE]
        done = []
        for name in fault.names:
            if name.kind in _FORGETTABLE:
                with self._database.begin() as session:
                    _renounce(session, name, fault.digest)
                done.append(f"{name}: {_FORGETTABLE[name.kind]}")
        if not left:
            return dataclasses.replace(fault, mended="; ".join(done), remedy=None)
        remedy = "; ".join(dict.fromkeys(REMEDIES[name.kind] for name in left))
        return dataclasses.replace(fault, names=tuple(left), remedy=remedy)

    def _find(self, digest: str) -> Path | None:
        paths = (folder / digest[:2] / digest for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)

    def _bring_back(self, found: Path, digest: str) -> bool:
        with self._blobs.scratch() as path:
            shutil.copyfile(found, path)
            with path.open("rb") as copy:
                if hashlib.file_digest(copy, "sha256").hexdigest() != digest:
                    return False
            self._blobs.clear_damage(digest)
            self._blobs.put_file(path, digest)
        return True


def _folders(source: Path) -> list[Path]:
    """Those of a backup's, or a store's, that have bytes by their digest."""
    folders = [source / name for name in ("blobs", "sha256", "blobs/sha256", ".")]
    found = [one for one in folders if any(map(Path.is_dir, one.glob("[0-9a-f][0-9a-f]")))]
    if not found:
        raise BackupRefused(f"{source} is no folder of backups, nor of a store: nothing was mended")
    return found


def _renounce(session: Session, name: Name, digest: str) -> None:
    """A row no longer names bytes that are lost."""
    if name.kind is Kind.EXPORT:
        artifacts.make_again(session, name.stream_id, int(name.key), digest)
    elif name.kind is Kind.PREDICTIONS:
        streams.lock(session, name.stream_id)
        packs.forget(session, name.key)
    else:
        row = Cycle if name.kind is Kind.RESUME_STATE else Rerun
        is_it = row.id == name.key, row.resume_digest == digest
        session.execute(update(row).where(*is_it).values(resume_digest=None))
