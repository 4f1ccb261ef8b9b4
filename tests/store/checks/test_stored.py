"""Where the blobs lie as `lure doctor` sees it, with each fault planted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.blobs import Blobs
from store.checks import stored
from store.checks.finding import State
from store.engine import Database
from store.settings import StoreSettings
from tests.buckets import S3
from tests.store.checks.reading import finding_of, state_of

NOBODY = 65534
AS_NOBODY = f"""
import os, sys
from store.checks import stored
from store.settings import StoreSettings
from tests.buckets import S3
settings = StoreSettings.model_validate_json(sys.argv[1])
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
for one in stored.examine(settings):
    print(one.state, f"{{one.name}}: {{one.found}} -> {{one.remedy}}")
"""  # root imports first: what Python lies in may be root's alone


def test_a_folder_that_is_well_is_left_as_it_was(settings: StoreSettings) -> None:
    Path(settings.blobs).mkdir()
    assert State.FAILURE not in {finding.state for finding in stored.examine(settings)}
    assert state_of(stored.examine(settings), "blobs, round trip") is State.OK
    assert [path for path in Path(settings.blobs).rglob("*") if path.is_file()] == []


def test_a_bucket_that_is_well_is_left_as_it_was(
    settings: StoreSettings, s3: S3, tmp_path: Path
) -> None:
    own = settings.model_copy(update=s3.settings(tmp_path / "cache"))
    assert state_of(stored.examine(own), "blobs, round trip") is State.OK
    assert list(s3.store(own).list()) == []


def test_a_bucket_that_is_not_there_is_a_failure(
    settings: StoreSettings, s3: S3, tmp_path: Path
) -> None:
    own = settings.model_copy(update=s3.settings(tmp_path / "cache", bucket="nobodys"))
    found = finding_of(stored.examine(own), "blobs, round trip")
    assert found.state is State.FAILURE
    assert "LURE_S3_*" in found.remedy


def test_no_folder_is_a_failure(settings: StoreSettings) -> None:
    found = finding_of(stored.examine(settings), "blobs")
    assert found.state is State.FAILURE
    assert "mkdir" in found.remedy


def test_the_place_of_another_database_is_a_failure(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    assert state_of(stored.examine(settings), "blobs, owner") is State.OK
    blobs.put_bytes(b"x")
    [mark] = (Path(settings.blobs) / "lure-store").iterdir()
    assert state_of(stored.examine(settings), "blobs, owner") is State.OK
    mark.rename(mark.with_name("0" * 32))
    found = finding_of(stored.examine(settings), "blobs, owner")
    assert (found.state, found.found) == (
        State.FAILURE,
        f"the blobs' place is of another database ({'0' * 32})",
    )
    assert "lure adopt" in found.remedy


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may pass through."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_of_another_user_is_a_failure(settings: StoreSettings, public: Path) -> None:
    blobs = public / "blobs"
    blobs.mkdir(mode=0o755)
    own = settings.model_copy(update={"blobs": str(blobs)})
    told = own.model_dump_json(include={"database_url", "redis_url", "blobs"})
    ended = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, told],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(f"failure blobs: uid {NOBODY} may not write to {blobs}, of uid 0")
    assert lines[0].endswith(f"chown -R {NOBODY} {blobs}, or run as uid 0")
    assert lines[2].startswith("skipped blobs, owner")
    assert lines[3].startswith("skipped blobs, round trip")
