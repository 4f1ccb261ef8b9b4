"""The secrets of a stack's first start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from store.admin.initialising import initialise
from store.settings import StoreSettings


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_command_needs_no_setting_and_tells_no_secret(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "store.admin", "init", str(tmp_path)],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert "made api/lure_bootstrap_key" in told.stderr
    assert contents(tmp_path)
    for line in contents(tmp_path).values():
        assert line.strip() not in told.stdout + told.stderr


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    told = subprocess.run(
        [sys.executable, "-m", "store.admin", "init", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 1
    assert "no secrets:" in told.stderr


def test_the_first_start_makes_every_secret_and_the_next_one_none(tmp_path: Path) -> None:
    initialise(tmp_path)
    made = contents(tmp_path)
    initialise(tmp_path)

    assert contents(tmp_path) == made
    assert made.keys() == {
        "api/lure_bootstrap_key",
        "api/lure_database_url",
        "api/lure_metrics_key",
        "api/lure_redis_url",
        "grafana/password",
        "postgres/password",
        "prometheus/key",
        "redis/redis.conf",
        "workers/lure_database_url",
        "workers/lure_redis_url",
    }


def test_the_settings_open_what_the_servers_were_given(tmp_path: Path) -> None:
    initialise(tmp_path)
    made = contents(tmp_path)

    for reader in ("api", "workers"):
        settings = StoreSettings(blobs=str(tmp_path), secrets_dir=tmp_path / reader)  # type: ignore[call-arg]
        database, redis = make_url(settings.database_url), make_url(settings.redis_url)
        assert database.password == made["postgres/password"].strip()
        assert f"requirepass {redis.password}\n" == made["redis/redis.conf"]


def test_only_the_api_sees_the_administrators_key(tmp_path: Path) -> None:
    initialise(tmp_path)
    made = contents(tmp_path)
    key = made["api/lure_bootstrap_key"].strip()

    assert len(key) == len("lure_") + 43
    assert [name for name, text in made.items() if key in text] == ["api/lure_bootstrap_key"]
    assert (tmp_path / "api/lure_bootstrap_key").stat().st_mode & 0o777 == 0o400


def test_prometheus_has_the_key_that_the_api_knows(tmp_path: Path) -> None:
    initialise(tmp_path)
    made = contents(tmp_path)

    assert made["prometheus/key"] == made["api/lure_metrics_key"] != made["api/lure_bootstrap_key"]


def test_a_store_of_ones_own_has_a_password_that_lure_knows(tmp_path: Path) -> None:
    initialise(tmp_path)
    assert not [name for name in contents(tmp_path) if "s3" in name]

    initialise(tmp_path, s3=True)
    made = contents(tmp_path)

    for reader in ("api", "workers"):
        settings = StoreSettings(blobs="s3://lure/blobs", secrets_dir=tmp_path / reader)  # type: ignore[call-arg]
        assert made["s3/credentials"] == (
            f"ROOT_ACCESS_KEY={settings.s3_access_key_id}\n"
            f"ROOT_SECRET_KEY={settings.s3_secret_access_key}\n"
        )


def test_two_stacks_have_nothing_in_common(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    initialise(one)
    initialise(two)

    assert not set(contents(one).values()) & set(contents(two).values())


def test_a_servers_lost_file_is_written_again_as_it_was(tmp_path: Path) -> None:
    initialise(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "postgres/password").unlink()
    (tmp_path / "redis/redis.conf").unlink()

    initialise(tmp_path)

    assert contents(tmp_path) == before


def test_passwords_that_do_not_go_together_are_told_of(tmp_path: Path) -> None:
    initialise(tmp_path)
    (tmp_path / "postgres/password").unlink()
    (tmp_path / "postgres/password").write_text("another\n")

    with pytest.raises(ValueError, match="workers/lure_database_url does not go with the others"):
        initialise(tmp_path)
