"""The folder of the common counts goes with its process, or with the next one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from service.commonfolder import CommonFolder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(temporary: Path, name: str, *, age: bool) -> Path:
    """What a killed process left, long ago or just now."""
    folder = temporary / f"lure-metrics-{name}"
    folder.mkdir()
    (folder / "owner").touch()
    if age:
        os.utime(folder / "owner", (0, 0))
    return folder


def test_what_a_killed_one_left_is_removed_by_the_next(temporary: Path) -> None:
    old, young = left(temporary, "old", age=True), left(temporary, "young", age=False)
    CommonFolder().close()
    assert list(temporary.iterdir()) == [young]
    assert not old.exists()


def test_the_folder_of_one_that_lives_stays_until_it_ends(temporary: Path) -> None:
    living = CommonFolder()
    os.utime(Path(living.name) / "owner", (0, 0))
    CommonFolder().close()
    assert [str(path) for path in temporary.iterdir()] == [living.name]
    living.close()
    assert list(temporary.iterdir()) == []


def test_what_is_no_folder_of_ours_stays(temporary: Path) -> None:
    stranger = temporary / "lure-metrics-of-others"
    stranger.mkdir()
    CommonFolder().close()
    assert list(temporary.iterdir()) == [stranger]
