"""The published command lines, to the letter.

They are those of the README of https://github.com/NeurAI-Lab/LURE, where
`python -m lure_core.experiment` stands for `python .\\LURE_main.py`.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from lure_core.errors import ConfigError
from lure_core.experiment import aliases, options
from lure_core.experiment.settings import Experiment

CIFAR10 = r"""--data <data_dir> --log-dir <log_dir> --run <name_of_the_experiment> --dataset cifar10 --arch resnet18 \
--seed 10 --epochs 50 --decreasing_lr 20,40 --batch_size 64 --weight_decay 1e-4 --meta_batch_size 6250 --meta_batch_number 8 --snip_size 0.20 \
--save_dir <save-dir> --sparsity_level 1 -wb --gamma 0.1 --use_snip
"""  # noqa: E501
RESTRICTED = r"""--data <data_dir> --imagenet_path <imagenet data path> --run <name_of_the_experiment> --dataset restricted_imagenet --arch resnet50 \
--seed 10 --epochs 50 --decreasing_lr 20,40 --batch_size 128 --weight_decay 1e-4 --meta_batch_size 6250 --meta_batch_number 8 --snip_size 0.20 \
--save_dir <save-dir> --sparsity_level 1 -wb --gamma 0.1 --use_snip
"""  # noqa: E501


def filled(line: str, **places: object) -> str:
    """The line with paths for its placeholders, and nothing else touched."""
    names = {
        "data": "<data_dir>",
        "log": "<log_dir>",
        "run": "<name_of_the_experiment>",
        "save": "<save-dir>",
        "imagenet": "<imagenet data path>",
    }
    for place, name in names.items():
        line = line.replace(name, str(places.get(place, place)))
    assert "<" not in line
    return line


def understood(line: str) -> tuple[Experiment, list[str]]:
    """As a shell hands it over, which takes a backslash at the end of a line away."""
    return options.parse(shlex.split(line.replace("\\\n", "")))


@pytest.fixture(autouse=True)
def _wandb_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "find_spec", lambda name: name)


def test_the_readmes_cifar_line_is_the_papers_run() -> None:
    settings, notes = understood(filled(CIFAR10))
    recipe = settings.recipe
    assert (settings.dataset, settings.data, settings.architecture) == (
        "cifar10",
        "data",
        "resnet18",
    )
    assert (settings.chunks, settings.chunk_size, settings.seeds) == (8, 6250, (10,))
    assert (recipe.epochs, recipe.milestones, recipe.gamma) == (50, (0.4, 0.8), 0.1)
    assert (recipe.batch_size, recipe.weight_decay, recipe.learning_rate) == (64, 1e-4, 0.1)
    assert (settings.methods, settings.controls) == (("lure",), False)
    assert (settings.unlearn.fraction, settings.unlearn.subset_fraction) == (0.2, 0.2)
    assert (settings.replay.kind, settings.out, settings.wandb) == ("full", "save/run", True)
    assert notes == [
        "--sparsity_level is ignored: the published code reads it nowhere",
        "--snip_size 0.2 is the share reset, and the share of images scored",
        "everything is written to save/run",
        "runs lure alone; --methods and --controls add others to compare with",
    ]


def test_without_wandb_the_line_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "find_spec", lambda name: None)
    settings, notes = understood(filled(CIFAR10))
    assert not settings.wandb
    assert "-wb is ignored: wandb is not installed (pip install wandb)" in notes


def test_the_readmes_imagenet_line_is_the_papers_run() -> None:
    settings, _ = understood(filled(RESTRICTED))
    assert (settings.dataset, settings.data) == ("restricted-imagenet", "imagenet")
    assert (settings.architecture, settings.recipe.batch_size) == ("resnet50", 128)
    assert (settings.chunks, settings.chunk_size, settings.methods) == (8, 6250, ("lure",))


@pytest.mark.parametrize(
    ("flags", "method"),
    [
        ("", "warm"),
        ("--use_snip", "lure"),
        ("--use_randinit", "scratch"),
        ("--use_llf", "later-layers"),
        ("--use_fc", "last-layer"),
        ("--weight_pruning", "magnitude-reset"),
        ("--use_shrink_perturb --shrink 0.3 --perturb 0.001", "shrink-perturb"),
    ],
)
def test_each_published_baseline_has_its_method(flags: str, method: str) -> None:
    settings, _ = understood(f"--meta_batch_number 4 {flags}")
    assert (settings.methods, settings.controls) == ((method,), False)


def test_published_shrinking_has_the_published_factors() -> None:
    settings, _ = understood("--use_shrink_perturb")
    assert settings.unlearn.preset == "lure"
    settings, _ = understood("--use_shrink_perturb --shrink 0.5")
    assert (settings.unlearn.shrink, settings.unlearn.perturb) == (0.5, None)


@pytest.mark.parametrize(
    ("flag", "kind"),
    [("-no_replay", "none"), ("-one_replay", "one"), ("-buffer_replay", "buffer")],
)
def test_published_replay(flag: str, kind: str) -> None:
    settings, _ = understood(f"--use_snip {flag}")
    assert settings.replay.kind == kind


def test_the_buffer_holds_what_the_published_one_ends_with() -> None:
    line = "--use_snip -buffer_replay --buffer_size_train 100 --meta_batch_number 5"
    settings, notes = understood(line)
    assert settings.replay.capacity == 400
    assert any("400 images" in note for note in notes)
    settings, _ = understood(f"{line} --buffer-size 60")
    assert (settings.replay.kind, settings.replay.capacity) == ("buffer", 60)


def test_published_shots_are_those_of_a_class_in_all() -> None:
    line = "--use_snip -few_shot --n_shots 540 --meta_batch_number 70 --meta_batch_size 107"
    settings, notes = understood(line)
    assert (settings.shots, settings.chunks, settings.chunk_size) == (7, 70, None)
    assert any("70 chunks of 7 each" in note for note in notes)


def test_n_shots_with_a_dash_alone_is_no_published_line() -> None:
    settings, _ = understood("--n-shots 100 --chunks 10 --seed 3")
    assert (settings.shots, settings.seeds) == (10, (3,))
    assert settings.methods == Experiment().methods


def test_our_own_flags_overrule_the_published_ones() -> None:
    line = f"{filled(CIFAR10).strip()} --methods lure,warm --controls --out here --epochs 25"
    settings, notes = understood(line)
    assert (settings.methods, settings.controls, settings.out) == (("lure", "warm"), True, "here")
    assert settings.recipe.milestones == (0.8,)
    assert any("[40] are not reached in 25 epochs" in note for note in notes)


def test_every_flag_without_meaning_is_told_on_a_line_of_its_own() -> None:
    line = "--use_snip --gpu 0 --workers 4 --resume -snip_no_replay --print_freq 50 --imagenet_arch"
    _, notes = understood(line)
    told = [note for note in notes if "is ignored" in note]
    assert len(told) == 6
    assert not any("\n" in note for note in notes)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--use_snip --use_llf", "--methods lure,later-layers"),
        ("--use_snip --decreasing_lr soon", "must be epochs such as 20,40"),
        ("-few_shot --n_shots 3 --meta_batch_number 10", "no image for each of 10 chunks"),
        ("-bufer_replay", "did you mean"),
    ],
)
def test_a_contradiction_is_told(line: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        understood(line)


def test_nonsense_in_a_file_is_told_as_ever(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('chunks = "many"\n[recipe]\nepochs = "many"\n')
    with pytest.raises(ConfigError, match="must be a whole number"):
        understood(f"--config {file} --decreasing_lr 20,40 -buffer_replay")


OURS = (
    "--methods fire --seeds 1-4 --chunk-size 50 --chunks 3 --batch-size 32 --weight-decay 0.5 "
    "--fraction 0.3 --milestones 0.5 --replay full --buffer-size 60 --out here --no-controls"
)
THEIRS = (
    "--use_snip --seed 3 --meta_batch_size 90 --meta_batch_number 7 --batch_size 64 "
    "--weight_decay 1e-4 --snip_size 0.2 --decreasing_lr 20,40 -one_replay -buffer_replay "
    "--buffer_size_train 9 --save_dir there --run name"
)


@pytest.mark.parametrize("line", [f"{OURS} {THEIRS}", f"{THEIRS} {OURS}"])
def test_a_published_flag_never_overrules_one_of_ours(line: str) -> None:
    settings, notes = understood(line)
    expected, _ = understood(OURS)
    ours = expected.to_dict()
    ours["unlearn"]["subset_fraction"] = 0.2  # nothing of ours spoke of it
    assert settings.to_dict() == ours
    for path in ("seeds", "out", "unlearn.fraction", "recipe.milestones", "recipe.batch_size"):
        assert any(f"experiment.{path}" in note and "overrules" in note for note in notes)


@pytest.mark.parametrize("flag", ["--batch_size 32", "--weight_decay=0.1", "--n-shots 8"])
def test_one_of_our_flags_with_an_underscore_makes_no_published_line(flag: str) -> None:
    settings, _ = understood(flag)
    assert (settings.methods, settings.controls) == (Experiment().methods, True)


@pytest.mark.parametrize("flag", ["-no_replay", "--meta_batch_size 50", "--seed 1 --use_snip"])
def test_a_flag_that_is_published_only_makes_a_published_line(flag: str) -> None:
    settings, _ = understood(flag)
    assert len(settings.methods) == 1
    assert not settings.controls
