from __future__ import annotations

from pathlib import Path

import pytest

from store import audit, bootstrap, keys
from store.engine import Database


def register(database: Database, folder: Path | None) -> list[str]:
    with database.begin() as session:
        return bootstrap.register(session, folder)


def active(database: Database) -> dict[str, frozenset[str]]:
    with database.begin() as session:
        return {one.name: one.scopes for one in keys.active(session)}


def test_keys_in_files_become_known(database: Database, tmp_path: Path) -> None:
    for name in (bootstrap.BOOTSTRAP, bootstrap.METRICS):
        (tmp_path / name).write_text(f"{keys.new_text()}\n")
    assert register(database, tmp_path) == ["bootstrap", "metrics"]
    assert active(database) == {"bootstrap": {"admin"}, "metrics": {"metrics"}}
    assert register(database, tmp_path) == []


def test_it_is_written_down_once(database: Database, tmp_path: Path) -> None:
    (tmp_path / bootstrap.BOOTSTRAP).write_text(keys.new_text())
    register(database, tmp_path)
    register(database, tmp_path)
    with database.begin() as session:
        (entry,) = audit.page(session, size=5).items
        (row,) = keys.page(session, size=5).items
    assert (entry.who, entry.action) == ("store.admin", "create_key")
    assert entry.data == {"key": row.id, "name": "bootstrap", "scopes": ["admin"]}


def test_a_revoked_one_stays_so_while_its_file_is_there(database: Database, tmp_path: Path) -> None:
    (tmp_path / bootstrap.BOOTSTRAP).write_text(keys.new_text())
    register(database, tmp_path)
    with database.begin() as session:
        (row,) = keys.page(session, size=2).items
        keys.revoke(session, row.id)
    assert register(database, tmp_path) == []
    assert active(database) == {}


@pytest.mark.parametrize("text", ["changeme", "lure_" + "a" * 43, "lure_" + "0123" * 11])
def test_a_file_without_a_key_is_told_of(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / bootstrap.BOOTSTRAP).write_text(text)
    assert register(database, tmp_path) == []
    assert "holds no key" in caplog.text
    assert active(database) == {}


def test_no_folder_is_no_fault(database: Database, tmp_path: Path) -> None:
    assert register(database, None) == register(database, tmp_path) == []
