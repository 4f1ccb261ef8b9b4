"""Settings out of files, and files that are written once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from store.secrets import keep
from store.settings import StoreSettings, faults


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LURE_DATABASE_URL", "LURE_REDIS_URL", "LURE_BLOBS", "LURE_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that say where database, Redis and blobs are."""
    made = tmp_path / "secrets"
    made.mkdir()
    (made / "lure_database_url").write_text("postgresql+psycopg://lure:secret@postgres/lure\n")
    (made / "lure_redis_url").write_text("redis://redis/0")
    (made / "lure_blobs").write_text(str(tmp_path))
    return made


def test_settings_come_from_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lure_heartbeat_s").write_text("0.5\n")
    monkeypatch.setenv("LURE_SECRETS_DIR", str(folder))

    settings = StoreSettings()

    assert settings.database_url == "postgresql+psycopg://lure:secret@postgres/lure"
    assert settings.heartbeat_s == 0.5


def test_a_variable_comes_before_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LURE_SECRETS_DIR", str(folder))
    monkeypatch.setenv("LURE_REDIS_URL", "redis://elsewhere/1")

    assert StoreSettings().redis_url == "redis://elsewhere/1"


def test_other_files_of_the_folder_do_not_matter(folder: Path) -> None:
    (folder / "..data").mkdir()  # as Kubernetes has it
    (folder / "tls.der").write_bytes(b"\xff\xfe")

    assert StoreSettings(secrets_dir=folder).redis_url == "redis://redis/0"  # type: ignore[call-arg]


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LURE_SECRETS_DIR", str(tmp_path / "nowhere"))

    with pytest.raises(ValidationError) as caught:
        StoreSettings()

    told = "\n".join(faults(caught.value))
    assert "LURE_SECRETS_DIR" in told
    assert f"the folder {tmp_path / 'nowhere'} cannot be read: No such file" in told


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lure_redis_url").unlink()
    (folder / "lure_redis_url").mkdir()  # root can read whatever is a file
    monkeypatch.setenv("LURE_SECRETS_DIR", str(folder))

    with pytest.raises(ValidationError) as caught:
        StoreSettings()

    told = "\n".join(faults(caught.value))
    assert f"the file {folder / 'lure_redis_url'} cannot be read: Is a directory" in told
    assert "LURE_REDIS_URL: Field required" in told


def test_a_file_that_is_no_text_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lure_redis_url").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("LURE_SECRETS_DIR", str(folder))

    with pytest.raises(ValidationError) as caught:
        StoreSettings()

    assert "it is no UTF-8 text" in "\n".join(faults(caught.value))


def test_what_a_wrong_setting_says_is_not_told_when_it_is_a_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lure_heartbeat_s").write_text("not-a-number-but-a-secret")
    monkeypatch.setenv("LURE_SECRETS_DIR", str(folder))

    with pytest.raises(ValidationError) as caught:
        StoreSettings()

    assert "secret" not in "\n".join(faults(caught.value))


def test_a_kept_line_is_written_once(tmp_path: Path) -> None:
    assert keep(tmp_path / "one", lambda: "first", mode=0o400) == "first"
    assert keep(tmp_path / "one", lambda: "second", mode=0o400) == "first"

    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o400


def test_of_many_at_once_one_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "one"
    together = threading.Barrier(8)
    read: list[str] = []

    def write(number: int) -> None:
        def make() -> str:
            together.wait(10)  # all have seen that there is no file
            return f"line {number}"

        read.append(keep(path, make, mode=0o444))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read) == 8
    assert set(read) == {path.read_text().strip()}
    assert [left.name for left in tmp_path.iterdir()] == ["one"]


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "one").touch()

    with pytest.raises(ValueError, match="is empty; delete it and it is made anew"):
        keep(tmp_path / "one", lambda: "never", mode=0o400)
