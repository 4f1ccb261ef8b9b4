"""A folder belongs to one experiment, which may grow."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lure_core.errors import ConfigError
from lure_core.experiment import lineage
from lure_core.experiment.desk import Desk
from lure_core.experiment.folder import claim, replace_with
from lure_core.experiment.plan import Run
from lure_core.experiment.settings import Experiment
from lure_core.types import Progress
from tests.lure_core.experiment.making import create_experiment


def take(settings: Experiment, *, finished: bool = True, data: str = "digest") -> Path:
    """Claim the folder, finish something in it, and leave it."""
    with claim(settings, settings.methods, data) as folder:
        if finished:
            (folder / "records.jsonl").touch()
    return folder


def leave_work(folder: Path, settings: Experiment) -> list[Path]:
    """What a kill may leave: of runs and first chunks, whole and half written."""
    runs = [Run("shrink-perturb:dash", 3, "1/5", 1e-05), Run("lure", 0)]
    for name in (*(run.id for run in runs), lineage.first_name(runs[1], settings)):
        desk = Desk(folder / "work", name, save_every_s=0.0)
        desk.listener(2)(Progress("relearn", 1, 2, state=lambda: b"state"))
        (folder / "work" / f"{name}.safetensors").write_bytes(b"whole")
        (folder / "work" / f"{name}.safetensors.77.new").write_bytes(b"torn")
    return sorted((folder / "work").iterdir())


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"seeds": [0, 1]},
        {"methods": ["warm"]},
        {"budgets": ["1/3"]},
        {"label_noise": [0.3]},
        {"data": "moved", "resident_mib": 0},
        {"controls": True, "jobs": 2, "threads": 2, "save_every_s": 1.0, "tensorboard": True},
        {"custom": {"mine": {"recipe": {"ema": 0.9}}}, "methods": ["mine"]},
    ],
)
def test_what_may_be_added_goes_on_in_the_same_folder(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    take(create_experiment(tmp_path))
    assert take(create_experiment(tmp_path, **others)) == tmp_path


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"chunk_size": 61}, "experiment.chunk_size was 60 there and is 61 here"),
        ({"architecture": "resnet20s"}, 'architecture was "mlp" there'),
        ({"recipe": {"epochs": 3}}, "the method lure was recipe epochs 2, learn_epochs 2 there"),
        ({"unlearn": {"fraction": 0.3}}, "unlearn fraction 0.2 there and is unlearn fraction 0.3"),
        ({"robustness": True}, "robustness was false there"),
        ({"test_images": None}, "test_images was 100 there and is null here"),
    ],
)
def test_other_settings_are_refused_and_named(
    tmp_path: Path, others: dict[str, Any], words: str
) -> None:
    take(create_experiment(tmp_path))
    with pytest.raises(ConfigError, match="holds runs of other settings") as caught:
        take(create_experiment(tmp_path, **others))
    assert words in str(caught.value)
    assert "choose another experiment.out" in str(caught.value)


def test_a_method_of_ones_own_must_not_change_its_meaning(tmp_path: Path) -> None:
    def with_share(share: float) -> Experiment:
        custom = {"mine": {"unlearn": {"fraction": share}}}
        return create_experiment(tmp_path, custom=custom, methods=["mine"])

    take(with_share(0.2))
    take(create_experiment(tmp_path))  # without it, it is not forgotten
    with pytest.raises(ConfigError, match=r"the method mine was unlearn fraction 0\.2"):
        take(with_share(0.3))


def test_where_nothing_was_finished_other_settings_begin_anew(tmp_path: Path) -> None:
    wrong = create_experiment(tmp_path, architecture="resnet20s")
    take(wrong, finished=False)
    assert len(leave_work(tmp_path, wrong)) == 9
    (tmp_path / "work" / "thesis.half").touch()
    take(create_experiment(tmp_path), finished=False)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["thesis.half"]
    take(create_experiment(tmp_path))
    with pytest.raises(ConfigError, match='architecture was "mlp" there and is "resnet20s" here'):
        take(wrong)


def test_where_nothing_was_finished_the_same_settings_go_on(tmp_path: Path) -> None:
    take(create_experiment(tmp_path), finished=False)
    left = leave_work(tmp_path, create_experiment(tmp_path))
    take(create_experiment(tmp_path, seeds=[0, 1]), finished=False)
    assert sorted((tmp_path / "work").iterdir()) == left


def test_a_refusal_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    take(create_experiment(tmp_path))
    before = (tmp_path / "experiment.json").read_text()
    with pytest.raises(ConfigError):
        take(create_experiment(tmp_path, chunk_size=61))
    assert (tmp_path / "experiment.json").read_text() == before


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    replace_with(tmp_path / "file", b"old")
    replace_with(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_changed_data_are_refused_wherever_they_lie(tmp_path: Path) -> None:
    take(create_experiment(tmp_path))
    with pytest.raises(ConfigError, match="holds runs of other data"):
        take(create_experiment(tmp_path), data="another digest")


def test_a_folder_of_before_data_had_a_digest_is_gone_on_with(tmp_path: Path) -> None:
    take(create_experiment(tmp_path))
    path = tmp_path / "experiment.json"
    facts = json.loads(path.read_text())
    del facts["data"]
    path.write_text(json.dumps(facts))
    take(create_experiment(tmp_path))
    assert json.loads(path.read_text())["data"] == "digest"


def test_while_one_works_in_the_folder_no_other_can(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(claim(settings, settings.methods, "digest"))
        with pytest.raises(ConfigError, match="another process works in"):
            take(settings)
    take(settings)


@pytest.mark.parametrize("name", ["work", "records.jsonl"])
def test_a_folder_that_is_no_experiments_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "lure_seed0_budget1_noise0.0.safetensors").touch()
    with pytest.raises(ConfigError, match=f"has {name} but no experiment.json"):
        take(create_experiment(tmp_path))
    assert len(list(tmp_path.rglob("*"))) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"name": "mine"}', '{"settings": 1, "methods": 2}'])
def test_an_experiment_json_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "experiment.json").write_text(content)
    with pytest.raises(ConfigError, match="is no experiment's"):
        take(create_experiment(tmp_path))
    assert (tmp_path / "experiment.json").read_text() == content
