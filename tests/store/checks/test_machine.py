"""This machine, its secrets, and checks that hang or break, as `lure doctor` sees them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from store.checks import machine, running, secrecy
from store.checks.finding import Finding, State, ok
from store.settings import StoreSettings
from tests.store.checks.reading import finding_of, state_of


def doctor(**env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LURE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "store.admin", "doctor", "--json"],
        env=clean | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_check_that_hangs_and_one_that_breaks_hurt_no_other() -> None:
    over = threading.Event()

    def hangs() -> Sequence[Finding]:
        over.wait()
        return []

    def breaks() -> Sequence[Finding]:
        raise RuntimeError("torn")

    checks = {"hangs": hangs, "breaks": breaks, "works": lambda: [ok("works", "well")]}
    found = running.run(checks, timeout_s=0.2)
    over.set()
    assert [finding.name for finding in found] == ["hangs", "breaks", "works"]
    assert [finding.state for finding in found] == [State.FAILURE, State.FAILURE, State.OK]
    assert "no answer" in found[0].found
    assert "torn" in found[1].found


def test_settings_that_are_missing_are_a_finding_beside_the_others() -> None:
    ended = doctor()
    assert ended.returncode == 1
    found = {finding["name"]: finding for finding in json.loads(ended.stdout)}
    assert found["settings"]["state"] == "failure"
    assert "LURE_DATABASE_URL" in found["settings"]["found"]
    assert found["python"]["state"] == "ok"


def test_half_of_it_may_be_down(settings: StoreSettings, tmp_path: Path) -> None:
    """A dead database and no blobs; Redis is well and is found well."""
    ended = doctor(
        LURE_DATABASE_URL="postgresql+psycopg://lure:lure@127.0.0.1:9/lure",
        LURE_REDIS_URL=settings.redis_url,
        LURE_BLOBS=str(tmp_path / "none"),
    )
    assert ended.returncode == 1, ended.stderr
    found = {finding["name"]: finding["state"] for finding in json.loads(ended.stdout)}
    told = {name: found[name] for name in ("database", "schema", "redis", "blobs", "beat")}
    assert told == {
        "database": "failure",
        "schema": "skipped",
        "redis": "ok",
        "blobs": "failure",
        "beat": "skipped",
    }
    assert found["password, database"] == "failure"


@pytest.fixture
def file_limit() -> Iterator[int]:
    """The hard limit; the soft one is put back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("most", "state"), [(512, State.FAILURE), (2048, State.WARNING)])
def test_few_open_files_are_told(file_limit: int, most: int, state: State) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, file_limit))
    assert state_of(machine.open_files(), "open files") is state


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    assert machine.space("disk", tmp_path, few=1, least=0).state is State.OK
    assert machine.space("disk", tmp_path, few=1 << 60, least=1).state is State.WARNING
    assert machine.space("disk", tmp_path, few=1 << 61, least=1 << 60).state is State.FAILURE


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("redis://:change-me@redis:6379/0", State.FAILURE),
        ("redis://me:me@redis:6379/0", State.FAILURE),
        ("redis://:3c5dbe0cf3f0@redis:6379/0", State.OK),
        ("redis://redis:6379/0", State.WARNING),
        ("redis://127.0.0.1:6379/0", State.OK),
        ("redis+socket:///tmp/redis.sock", State.OK),
    ],
)
def test_passwords_are_judged(settings: StoreSettings, url: str, state: State) -> None:
    found = secrecy.passwords(settings.model_copy(update={"redis_url": url}))
    assert state_of(found, "password, redis") is state


def test_a_secret_that_everybody_may_read_is_told(settings: StoreSettings, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    secret = folder / "lure_database_url"
    secret.write_text(settings.database_url)
    own = settings.model_copy(update={"secrets_dir": folder})
    secret.chmod(0o600)
    assert state_of(secrecy.files(own), "secret files") is State.OK
    secret.chmod(0o644)
    found = finding_of(secrecy.files(own), "secret files")
    assert found.state is State.WARNING
    assert "lure_database_url" in found.found
