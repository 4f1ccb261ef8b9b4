"""Records on their way to TensorBoard and W&B; each test needs the real thing, or its absence."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lure_core.errors import ConfigError
from lure_core.experiment import run, trackers
from lure_core.experiment.plan import Run
from lure_core.experiment.trackers import scalars
from tests.lure_core.experiment.making import create_experiment, create_record, create_run

RUN = Run("lure", 0)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_what_is_not_installed_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    settings = create_experiment(tmp_path, **{name: True})
    with (
        pytest.raises(ConfigError, match=f"pip install {name}"),
        trackers.opened(settings),
    ):
        pass


def test_what_is_not_asked_for_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with trackers.opened(create_experiment(tmp_path)) as found:
        assert found == []


def test_only_what_is_known_is_tracked() -> None:
    first = scalars(create_record(RUN, 1))
    later = scalars(create_record(RUN, 2, unlearn={"reset": 20, "counted": 100}, mask_overlap=0.4))
    assert first["accuracy/test"] == 0.5
    assert "accuracy/prequential" not in first
    assert "unlearn/reset_share" not in first
    assert (later["unlearn/reset_share"], later["unlearn/mask_overlap"]) == (0.2, 0.4)
    assert later["cost/seconds"] == 10.0


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    module = "tensorboard.backend.event_processing.event_accumulator"
    found = importlib.import_module(module).EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_chunk_of_every_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = create_experiment(tmp_path, tensorboard=True, methods=["lure", "warm"])
    with trackers.opened(settings) as listeners:
        records = run.run(settings, listeners)
    for which in (Run("lure", 0), Run("warm", 0)):
        events = read_events(tmp_path / "tensorboard" / which.id)
        mine = [record for record in records if record.run == which]
        assert [step for step, _ in events["accuracy/test"]] == [1, 2, 3]
        assert [value for _, value in events["accuracy/test"]] == pytest.approx(
            [record.accuracy for record in mine]
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_forgets_what_is_told_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = create_experiment(tmp_path, tensorboard=True)
    first, second, third = create_run(RUN, 0.5, 0.6, 0.7)
    for life in ([first, second], [first, second, third]):
        with trackers.opened(settings) as (tracker,):
            for record in life:
                tracker.tell(record)
    events = read_events(tmp_path / "tensorboard" / RUN.id)
    assert [step for step, _ in events["accuracy/test"]] == [1, 2, 3]


def test_wandb_gets_every_chunk_of_runs_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline: what W&B would be sent is read back from its files."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = create_experiment(tmp_path, wandb=True)
    runs: list[list[Any]] = [create_run(RUN, 0.5, 0.6), create_run(Run("warm", 0), 0.5, 0.7)]
    with trackers.opened(settings) as (tracker,):
        for pair in zip(*runs, strict=True):
            for record in pair:
                tracker.tell(record)
    files = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    for path in files:
        assert b"accuracy/test" in path.read_bytes()


def test_wandb_goes_on_with_a_run_that_was_killed(tmp_path: Path) -> None:
    """Without W&B: what it would be called with."""
    begun: list[dict[str, Any]] = []

    class Wandb:
        def init(self, **how: Any) -> Any:
            begun.append(how)
            return SimpleNamespace(log=lambda *_, **__: None, finish=lambda: None)

    for folder in ("one", "one", "other"):
        settings = create_experiment(tmp_path / folder)
        tracker = trackers.WeightsAndBiases(settings, Wandb())
        tracker.tell(create_record(RUN))
        tracker.tell(create_record(Run("warm", 0)))
    ids = [how["id"] for how in begun]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4
    assert {how["resume"] for how in begun} == {"allow"}
