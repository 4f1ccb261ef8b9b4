"""A folder belongs to one experiment, which may grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lure_core.errors import ConfigError
from lure_core.experiment.folder import claim, replace_with
from lure_core.experiment.settings import Experiment
from tests.lure_core.experiment.making import create_experiment


def take(settings: Experiment, *, finished: bool = True) -> Path:
    """Claim the folder, and finish something in it."""
    folder = claim(settings, settings.methods)
    if finished:
        (folder / "records.jsonl").touch()
    return folder


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"seeds": [0, 1]},
        {"methods": ["warm"]},
        {"budgets": ["1/3"]},
        {"label_noise": [0.3]},
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
    take(create_experiment(tmp_path, data="wrong"), finished=False)
    (tmp_path / "work" / "something.half").touch()
    take(create_experiment(tmp_path), finished=False)
    assert list((tmp_path / "work").iterdir()) == []
    take(create_experiment(tmp_path))
    with pytest.raises(ConfigError, match='data was null there and is "wrong" here'):
        take(create_experiment(tmp_path, data="wrong"))


def test_where_nothing_was_finished_the_same_settings_go_on(tmp_path: Path) -> None:
    take(create_experiment(tmp_path), finished=False)
    (tmp_path / "work" / "something.half").touch()
    take(create_experiment(tmp_path, seeds=[0, 1]), finished=False)
    assert len(list((tmp_path / "work").iterdir())) == 1


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
