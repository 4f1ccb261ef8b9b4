"""What holds of a folder alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from store import garbage
from store.blobs import Blobs
from store.engine import Database
from store.fsck.looking import look
from store.settings import StoreSettings
from tests.conftest import Servers, settings_for


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> StoreSettings:
    return settings_for(servers, tmp_path / "blobs")


def test_the_scratch_files_of_dead_processes_are_cleared(database: Database, blobs: Blobs) -> None:
    old, young = (blobs.root / "incoming" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"")
    a_day_ago = time.time() - 86400
    os.utime(old, (a_day_ago, a_day_ago))
    garbage.collect(database, blobs)
    assert [path.name for path in Path(old.parent).iterdir()] == ["young"]


def test_bytes_reach_the_disk_before_they_are_named(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    really = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    digest = blobs.put_bytes(b"x")
    home = blobs.local(digest).parent
    assert synced[0].startswith(str(blobs.root / "incoming"))
    assert synced[1:] == [str(home), str(home.parent), str(blobs.root)]


def test_what_the_disk_refuses_is_told_as_the_disk_tells_it(blobs: Blobs) -> None:
    (blobs.root / "sha256").write_bytes(b"in the way")
    with pytest.raises(NotADirectoryError):  # so that a full disk is known by its number
        blobs.put_bytes(b"x")
    assert list(blobs.incoming()) == []


def test_files_that_are_no_blobs_are_passed_over(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    for stray in (f"sha256/{digest[:2]}/.nfs0000000000000001", "sha256/00/readme", "trash/.nfs1"):
        path = blobs.root / stray
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not ours")
        then = time.time() - 3 * 86400
        os.utime(path, (then, then))
    assert [one.digest for one in blobs.stored()] == [digest]
    assert look(database, blobs, quick=False).faults == []
    assert garbage.collect(database, blobs) == 0


def test_the_bytes_lie_where_they_always_lay(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    assert blobs.local(digest) == blobs.root / "sha256" / digest[:2] / digest
