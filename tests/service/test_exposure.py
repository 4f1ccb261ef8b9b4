"""Beyond loopback: no key, no start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service import exposure
from store import bootstrap, keys
from store.engine import Database
from store.errors import DatabaseAway
from store.models import ApiKey
from store.settings import StoreSettings
from tests.service.access.conftest import make, without
from tests.service.serving import free_port, service_settings
from tests.service.test_main import environment

OUTSIDE = "0.0.0.0"


def faults(settings: StoreSettings, **changes: object) -> list[str]:
    wanted = service_settings(settings, **({"host": OUTSIDE} | changes))
    return exposure.faults(wanted, patience_s=0.0)


@pytest.mark.parametrize("processes", [1, 2])
def test_without_keys_on_all_addresses_it_refuses_to_start(
    settings: StoreSettings, database: Database, processes: int
) -> None:
    run = start(settings, LURE_HOST=OUTSIDE, LURE_PROCESSES=str(processes))
    assert run.returncode == 2
    assert "there is no API key" in run.stderr
    assert "create-key" in run.stderr
    assert "Traceback" not in run.stderr


def start(settings: StoreSettings, **more: str) -> subprocess.CompletedProcess[str]:
    told = settings.model_dump(mode="json", exclude_none=True).items()
    named = {f"LURE_{name.upper()}": str(value) for name, value in told}
    return subprocess.run(
        [sys.executable, "-m", "service"],
        env=environment(**(named | {"LURE_PORT": str(free_port())} | more)),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_with_a_key_it_may_start(settings: StoreSettings, database: Database) -> None:
    row, _ = make(database, ["admin"])
    assert faults(settings) == []
    with database.begin() as session:
        keys.revoke(session, row.id)
    assert faults(settings) == []  # it lets nobody in, and is not open


def test_a_key_in_a_file_is_one(
    settings: StoreSettings, database: Database, tmp_path: Path
) -> None:
    text = keys.new_text()
    (tmp_path / bootstrap.BOOTSTRAP).write_text(text)
    assert faults(settings, secrets_dir=tmp_path) == []
    with database.begin() as session:
        (only,) = keys.active(session)
    assert only.digest == keys.digest_of(text)


def test_on_loopback_it_starts_without_keys(settings: StoreSettings, database: Database) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert faults(settings, host=host) == []


def test_an_older_schema_is_told_to_be_migrated(
    settings: StoreSettings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, ApiKey)
    (words,) = faults(settings)
    assert "python -m store.admin migrate" in words
    assert faults(settings, host="127.0.0.1") == []


def test_a_database_that_is_away_is_told_of(settings: StoreSettings, tmp_path: Path) -> None:
    (words,) = faults(settings, database_url=f"postgresql+psycopg://x@/x?host={tmp_path}")
    assert "could not be reached" in words


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "lure.example", "", "128.0.0.1", "[::]"]
)
def test_what_others_can_reach_is_no_loopback(host: str) -> None:
    assert not exposure.is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://lure@db/lure",
        "postgresql+psycopg://lure:lure@db/lure",
        "postgresql+psycopg://someone:someone@db/lure",
        "postgresql+psycopg://lure:Postgres@db:5432/lure",
        "postgresql+psycopg://lure:password@127.0.0.1/lure",
        "postgresql+psycopg://lure@/lure?host=db&password=changeme",
        "postgresql+psycopg://lure:%6Cure@db/lure",
        "postgresql+psycopg://lure:a@db/lure",
        "postgresql+psycopg://lure:12345@db/lure",
        "postgresql+psycopg://lure:%20%20%20%20%20%20%20%20%20%20%20%20%20@db/lure",
        "postgresql+psycopg://lure:aaaaaaaaaaaaaaaaaaaa@db/lure",
        "postgresql+psycopg://lure@/lure?host=/tmp,db",
        "postgresql+psycopg://lure@/lure?host=/tmp&host=db",
        "postgresql+psycopg://lure@/lure?hostaddr=203.0.113.9",
    ],
)
def test_passwords_that_everybody_knows_are_refused(settings: StoreSettings, url: str) -> None:
    (words,) = faults(settings, database_url=url)
    assert words.startswith("LURE_DATABASE_URL has ")
    assert OUTSIDE in words


@pytest.mark.parametrize(
    "url", ["redis://redis:6379/0", "rediss://:redis@r/0", "redis://u:@r/0", "redis://:b@r"]
)
def test_so_are_those_of_redis(settings: StoreSettings, url: str) -> None:
    (words,) = faults(settings, redis_url=url)
    assert words.startswith("LURE_REDIS_URL has ")


def test_a_host_of_the_environment_is_one(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "db")
    (words,) = faults(settings, database_url="postgresql+psycopg://lure@/lure")
    assert words.startswith("LURE_DATABASE_URL has no password")


@pytest.mark.parametrize("secret", ["minioadmin", "Minioadmin", "lure", "short"])
def test_so_are_those_of_a_bucket(settings: StoreSettings, secret: str) -> None:
    told = {"s3_access_key_id": "lure", "s3_secret_access_key": secret}
    (words,) = faults(settings, **told)
    assert words.startswith("LURE_S3_SECRET_ACCESS_KEY has ")
    assert secret not in words.replace("LURE_S3", "")


def test_passwords_of_ones_own_and_sockets_are_not_refused(
    monkeypatch: pytest.MonkeyPatch, settings: StoreSettings, database: Database
) -> None:
    monkeypatch.setenv("PGPASSWORD", "3f9c0b1d77a2")
    make(database, ["admin"])
    for url in (
        "postgresql+psycopg://lure:3f9c0b1d77a2@db/lure",
        "postgresql+psycopg://lure@db/lure",  # PGPASSWORD
        "postgresql+psycopg://lure@db/lure?sslcert=/c.pem&sslkey=/k.pem",
        "postgresql+psycopg://lure@/lure?host=/run/postgresql",
        "postgresql+psycopg://lure@/lure?host=/run/postgresql,/tmp",
        "postgresql+psycopg://lure@/lure",
    ):
        assert list(exposure._weak(service_settings(settings, database_url=url))) == []
    for url in ("redis+socket:///run/redis.sock", "redis://:3f9c0b1d77a2@redis/0"):
        assert list(exposure._weak(service_settings(settings, redis_url=url))) == []


def test_it_waits_for_the_database(settings: StoreSettings, database: Database) -> None:
    """`docker compose up` starts them together."""
    make(database, ["admin"])
    wanted = service_settings(settings, host=OUTSIDE)
    looks = iter([True, False])
    real = exposure._look

    def look(database: Database, settings: object) -> str | None:
        if next(looks):
            raise DatabaseAway("not yet")
        return real(database, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposure, "_look", look)
        assert exposure.faults(wanted, patience_s=20) == []
    assert list(looks) == []
