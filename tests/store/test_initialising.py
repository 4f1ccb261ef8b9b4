"""The secrets of a stack's first start, made by the command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy.engine import make_url

from store.settings import StoreSettings


def init(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it as the container does: without any setting."""
    return subprocess.run(
        [sys.executable, "-m", "store.admin", "init", str(folder)],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_first_start_makes_every_secret_and_the_next_one_none(tmp_path: Path) -> None:
    first = init(tmp_path)
    made = contents(tmp_path)
    second = init(tmp_path)

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert {
        "api/lure_bootstrap_key",
        "api/lure_database_url",
        "api/lure_redis_url",
        "grafana/password",
        "postgres/password",
        "redis/redis.conf",
        "workers/lure_database_url",
        "workers/lure_redis_url",
    } <= made.keys()
    assert "made api/lure_bootstrap_key" in first.stderr
    assert "made" not in second.stderr
    assert contents(tmp_path) == made


def test_no_secret_is_told(tmp_path: Path) -> None:
    told = init(tmp_path)

    for line in contents(tmp_path).values():
        assert line.strip() not in told.stdout + told.stderr


def test_the_settings_open_what_the_servers_were_given(tmp_path: Path) -> None:
    init(tmp_path)
    made = contents(tmp_path)

    for reader in ("api", "workers"):
        settings = StoreSettings(blobs=tmp_path, secrets_dir=tmp_path / reader)  # type: ignore[call-arg]
        database, redis = make_url(settings.database_url), make_url(settings.redis_url)
        assert database.password == made["postgres/password"].strip()
        assert f"requirepass {redis.password}\n" == made["redis/redis.conf"]


def test_only_the_api_sees_the_administrators_key(tmp_path: Path) -> None:
    init(tmp_path)
    made = contents(tmp_path)
    key = made["api/lure_bootstrap_key"].strip()

    assert len(key) == len("lure_") + 43
    assert [name for name, text in made.items() if key in text] == ["api/lure_bootstrap_key"]
    assert (tmp_path / "api/lure_bootstrap_key").stat().st_mode & 0o777 == 0o400


def test_two_stacks_have_nothing_in_common(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    init(one)
    init(two)

    assert not set(contents(one).values()) & set(contents(two).values())


def test_a_servers_lost_file_is_written_again_as_it_was(tmp_path: Path) -> None:
    init(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "postgres/password").unlink()
    (tmp_path / "redis/redis.conf").unlink()

    assert init(tmp_path).returncode == 0
    assert contents(tmp_path) == before


def test_passwords_that_do_not_go_together_are_told_of(tmp_path: Path) -> None:
    init(tmp_path)
    (tmp_path / "postgres/password").unlink()
    (tmp_path / "postgres/password").write_text("another\n")

    told = init(tmp_path)

    assert told.returncode == 1
    assert "workers/lure_database_url does not go with the server's password" in told.stderr


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    told = init(tmp_path / "file")

    assert told.returncode == 1
    assert "no secrets:" in told.stderr
