"""Where an unfinished run stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lure_core.experiment.desk import Desk, Standing
from lure_core.experiment.plan import Run
from lure_core.types import Checkpoint, Progress
from tests.lure_core.experiment.making import create_run

STANDING = Standing(
    Checkpoint(b"weights", {"classes": ["a"]}),
    tuple(create_run(Run("lure", 0), 0.5, 0.6)),
    np.array([3, 255], dtype=np.uint8),
)


def create_desk(folder: Path, name: str = "run", save_every_s: float = 0.0) -> Desk:
    return Desk(folder, name, save_every_s=save_every_s)


def progress(content: bytes) -> Progress:
    return Progress("relearn", 1, 2, state=lambda: content)


def test_a_standing_is_found_again(tmp_path: Path) -> None:
    create_desk(tmp_path).keep(STANDING)
    found = create_desk(tmp_path).standing()
    assert found is not None
    assert (found.version, found.records) == (STANDING.version, STANDING.records)
    assert found.mask is not None
    assert found.mask.tolist() == [3, 255]


def test_without_a_mask_there_is_none(tmp_path: Path) -> None:
    create_desk(tmp_path).keep(Standing(STANDING.version, STANDING.records))
    found = create_desk(tmp_path).standing()
    assert found is not None
    assert found.mask is None


def test_nothing_kept_is_nothing_found(tmp_path: Path) -> None:
    assert create_desk(tmp_path).standing() is None
    assert create_desk(tmp_path).half_done(1) is None


@pytest.mark.parametrize("kept", [0, 7, 100])
def test_a_torn_file_is_nothing(tmp_path: Path, kept: int) -> None:
    desk = create_desk(tmp_path)
    desk.keep(STANDING)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:kept])
    assert desk.standing() is None


def test_the_state_of_a_cycle_is_kept_until_its_chunk_is_done(tmp_path: Path) -> None:
    desk = create_desk(tmp_path)
    desk.listener(2)(progress(b"state"))
    assert create_desk(tmp_path).half_done(2) == b"state"
    assert desk.half_done(3) is None
    desk.keep(STANDING)
    assert desk.half_done(2) is None


def test_states_are_not_taken_more_often_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("lure_core.experiment.desk.time.monotonic", lambda: now)
    desk = create_desk(tmp_path, save_every_s=60)
    listen = desk.listener(1)
    for now, expected in ((159.0, None), (160.0, b"160.0"), (219.0, b"160.0"), (220.0, b"220.0")):
        listen(progress(str(now).encode()))
        assert desk.half_done(1) == expected


def test_clearing_takes_the_runs_own_files_only(tmp_path: Path) -> None:
    mine, others = create_desk(tmp_path, "a[1]"), create_desk(tmp_path, "a[1]b")
    for desk in (mine, others):
        desk.keep(STANDING)
        desk.listener(3)(progress(b"state"))
    mine.clear()
    assert mine.standing() is None
    assert mine.half_done(3) is None
    assert others.standing() is not None
    assert others.half_done(3) == b"state"


def test_what_another_clears_away_just_now_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = create_desk(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    assert desk.standing() is None
    assert desk.half_done(1) is None
