"""Operators' commands, as processes, on servers as `lure up` has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lure import lock
from lure.cli import app
from lure.commands.operating import environment, run_admin
from lure.errors import EmbeddedError
from lure.servers import Postgres, Redis
from tests.lure.conftest import Answer, Scripted

_NOWHERE = {  # settings that are complete, of servers that nobody reaches
    "LURE_DATABASE_URL": "postgresql+psycopg://lure@127.0.0.1:9/lure",
    "LURE_REDIS_URL": "redis://127.0.0.1:9/0",
    "LURE_BLOBS": "/nowhere",
}


def lure(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LURE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "lure", *arguments],
        env=clean | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack whose servers are up."""
    data = tmp_path_factory.mktemp("data")
    with lock.held(data), Postgres(data / "postgres"), Redis(data / "redis"):
        assert run_admin("migrate", env=environment(data)) == 0
        yield data


def test_settings_that_are_missing_are_named() -> None:
    ended = lure("backup", "somewhere")
    assert ended.returncode == 1
    assert "LURE_DATABASE_URL, LURE_REDIS_URL, LURE_BLOBS must be set" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["backup", "s3://bucket/backups"],
        ["backup", "s3://bucket/backups", "--verify"],
        ["restore", "s3://bucket/backups"],
    ],
)
def test_a_url_is_no_folder(words: list[str]) -> None:
    refused = CliRunner().invoke(app, words, env=_NOWHERE)
    assert refused.exit_code == 2
    assert "should be a folder" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["backup", "somewhere", "--backup", "20261123T155801.123456Z"],
        ["backup", "somewhere", "--verify", "--keep", "3"],
        ["backup", "somewhere", "--verify", "--data", "lure-data"],
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: list[str]) -> None:
    refused = CliRunner().invoke(app, words, env=_NOWHERE)
    assert refused.exit_code == 2
    assert "beside --verify" in refused.stderr


def test_a_folder_without_a_running_stack_is_told(tmp_path: Path) -> None:
    ended = lure("backup", "somewhere", "--data", str(tmp_path / "none"))
    assert ended.returncode == 1
    assert f"no `lure up --data {tmp_path / 'none'}` of this user is running" in ended.stderr


@pytest.mark.slow
def test_a_backup_of_a_running_stack_is_restored_into_a_new_folder(
    data: Path, tmp_path: Path
) -> None:
    target, new = str(tmp_path / "backups"), str(tmp_path / "new")
    taken = lure("backup", target, "--data", str(data))
    assert taken.returncode == 0, taken.stderr
    assert lure("backup", target, "--verify").returncode == 0
    restored = lure("restore", target, "--data", new)
    assert restored.returncode == 0, restored.stderr
    assert (tmp_path / "new" / "postgres" / "PG_VERSION").exists()
    with pytest.raises(EmbeddedError, match="running"):
        environment(tmp_path / "new")  # its servers were stopped again


def test_a_refusal_is_passed_on(data: Path, tmp_path: Path) -> None:
    refused = lure("restore", str(tmp_path / "none"), "--data", str(tmp_path / "new"))
    assert refused.returncode == 1
    assert "no whole backup" in refused.stderr


def test_a_stack_that_runs_is_not_restored_into(data: Path, tmp_path: Path) -> None:
    refused = lure("restore", str(tmp_path), "--data", str(data))
    assert refused.returncode == 1
    assert "stop it" in refused.stderr


def test_doctor_tells_of_servers_processes_torch_and_api(data: Path, scripted: Scripted) -> None:
    scripted.answers = [
        Answer(200, b'{"ready": true, "degraded": ["redis"]}'),
        Answer(200, b'{"name": "lure", "version": "0.0.1"}'),
    ]
    ended = lure("doctor", "--data", str(data), "--url", scripted.url, "--json")
    assert ended.returncode == 1, ended.stderr  # nobody is alive there
    found = {finding["name"]: finding for finding in json.loads(ended.stdout)}
    told = {name: found[name]["state"] for name in ("database", "redis", "torch", "api")}
    assert told == {"database": "ok", "redis": "ok", "torch": "ok", "api": "warning"}
    assert found["workers, learn"]["state"] == "failure"
    assert found["workers, learn"]["remedy"] != ""
    assert found["api, release"]["state"] == "warning"
    assert "0.0.1" in found["api, release"]["found"]


def test_doctor_works_where_nothing_does(tmp_path: Path) -> None:
    ended = lure("doctor", "--data", str(tmp_path), "--url", "http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    for words in ("database", "start PostgreSQL", "start Redis", "no answer at", "python"):
        assert words in ended.stdout
