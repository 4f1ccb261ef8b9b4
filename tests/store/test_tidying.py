"""What an operator is told of the store, by `gc` and `fsck`."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from store import forecast, garbage, locks
from store.admin.command import Store
from store.admin.tidying import COMMANDS
from store.blobs import KEEP_RESUME_S, Blobs
from store.engine import Database
from store.errors import BlobsAway
from store.forecast import BY_POLICY, LATER, NOW, Due
from store.fsck import looking
from store.settings import StoreSettings
from tests.factories import POLICIES, create_stream, create_version
from tests.store.blobs.conftest import age, lying


class Desk:
    """Runs the commands in this process."""

    def __init__(self, settings: StoreSettings, database: Database) -> None:
        self._store = Store(settings, database)

    def __call__(self, name: str, *words: str) -> int:
        [command] = [one for one in COMMANDS if one.name == name]
        parser = ArgumentParser()
        command.options(parser)
        return command.run(self._store, parser.parse_args(words))


@pytest.fixture
def desk(
    settings: StoreSettings, database: Database, blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> Desk:
    blobs.adopt()  # factories store no bytes
    caplog.set_level(logging.INFO)
    return Desk(settings, database)


def test_a_dry_run_tells_what_would_go_and_deletes_nothing(
    desk: Desk, database: Database, blobs: Blobs, capsys: pytest.CaptureFixture[str]
) -> None:
    old, state, young = (
        blobs.put_bytes(b"old"),
        blobs.put_bytes(b"a resume state", keep_s=KEEP_RESUME_S),
        blobs.put_bytes(b"young!"),
    )
    for digest in (old, state):
        age(database, digest)
    assert desk("gc", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        due(NOW, "resume states", 1, 14),
        due(LATER, "uploads, chunk files, versions, exports", 1, 6),
        due(NOW, "uploads, chunk files, versions, exports", 1, 3),
    ]
    assert lying(blobs) == sorted([old, state, young])
    assert desk("gc") == 0
    assert lying(blobs) == [young]


def due(when: str, kind: str, count: int, size_bytes: int) -> dict[str, Any]:
    return Due(when, kind, count, size_bytes).shown()


def test_a_dry_run_tells_what_retention_will_take(database: Database, blobs: Blobs) -> None:
    stream = create_stream(database, policies=POLICIES | {"retention": {"versions": 1}})
    for _ in range(3):
        create_version(database, stream, size_bytes=1000)
    # of three, the champion and the one before it stay
    assert Due(BY_POLICY, "weights of versions", 1, 1000) in forecast.forecast(database, blobs)


def test_nothing_to_delete_is_said(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    assert desk("gc", "--dry-run") == 0
    assert "there is nothing to delete" in caplog.text


def test_a_collection_that_a_backup_holds_back_is_exit_status_1(
    desk: Desk, database: Database, blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    age(database, blobs.put_bytes(b"old"))
    with database.begin() as backup:
        backup.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.COLLECTION)))
        assert desk("gc") == 1
    assert "a backup holds collections back" in caplog.text
    assert desk("gc") == 0
    assert lying(blobs) == []


def test_a_clean_store_is_exit_status_0(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk("fsck", "--json") == 0
    assert json.loads(capsys.readouterr().out)["clean"]


def test_a_fault_is_exit_status_1_until_it_is_mended(
    desk: Desk, database: Database, blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    blobs.local(digest).unlink()
    assert desk("fsck", "--quick") == 1
    assert f"empty: {digest}" in caplog.text
    assert desk("fsck", "--repair") == 0
    assert desk("fsck") == 0


def test_lost_bytes_are_told_in_words_and_as_json(
    desk: Desk,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    create_version(database, create_stream(database))
    assert desk("fsck") == 1
    assert "weights of digits/1" in caplog.text
    assert "bring the bytes back with --from" in caplog.text
    assert desk("fsck", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert {fault["what"] for fault in found["faults"]} == {"missing"}
    named = [name for fault in found["faults"] for name in fault["named_by"]]
    assert {"kind": "weights", "stream": "digits", "key": "1"} in named


def test_a_mistyped_source_is_exit_status_1_and_mends_nothing(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in (str(tmp_path / "typo"), "s3://bucket/backups"):
        assert desk("fsck", "--from", wrong) == 1
    assert caplog.text.count("is no folder of backups") == 2


def test_what_was_found_before_a_break_is_told(
    desk: Desk,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    create_version(database, create_stream(database))
    really, looked_at = Blobs.check, []

    def check(blobs: Blobs, digest: str) -> None:
        looked_at.append(digest)
        if len(looked_at) % 3 == 0:
            raise BlobsAway("it does not answer")
        really(blobs, digest)

    monkeypatch.setattr(Blobs, "check", check)
    monkeypatch.setattr(looking, "_PATIENCE_S", 0.0)
    assert desk("fsck") == 1
    assert caplog.text.count("missing: ") == 2
    assert "not all could be looked at: it does not answer" in caplog.text
    assert desk("fsck", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["clean"], found["complete"], len(found["faults"])) == (False, False, 2)

    monkeypatch.setattr(looking, "_PATIENCE_S", 60.0)  # of one that comes back
    assert desk("fsck", "--json") == 1
    assert json.loads(capsys.readouterr().out)["complete"]


def test_a_bucket_that_is_away_is_exit_status_1(
    settings: StoreSettings, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = {"blobs": "s3://b", "s3_endpoint": "http://127.0.0.1:9", "cache": tmp_path}
    key = {"s3_access_key_id": "a", "s3_secret_access_key": "b"}
    desk = Desk(settings.model_copy(update=there | key), database)
    assert desk("fsck", "--quick") == desk("gc", "--dry-run") == 1
    assert "the object store did not list" in caplog.text


def test_the_commands_are_processes_too(settings: StoreSettings, database: Database) -> None:
    told = settings.model_dump(exclude_none=True)
    environment = {f"LURE_{name.upper()}": str(value) for name, value in told.items()}
    for words in (["gc", "--dry-run"], ["fsck", "--quick"]):
        argv = [sys.executable, "-P", "-m", "store.admin", *words]
        assert subprocess.run(argv, env=environment, check=False).returncode == 0
    assert garbage.collect(database, Blobs.of(settings, database)) == 0
