from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lure_core.errors import ConfigError
from lure_core.experiment import methods, options
from lure_core.experiment.settings import Experiment


def parsed(line: str) -> Experiment:
    settings, notes = options.parse(line.split())
    assert notes == []
    return settings


def test_nothing_said_is_the_defaults() -> None:
    assert parsed("") == Experiment()


def test_flags_reach_every_section() -> None:
    settings = parsed(
        "--dataset zips --data here --chunks 3 --chunk-size 1500 --test-images 9 --select 0.2 "
        "--side 16 --label-noise 0,0.2 --methods lure,warm --seeds 0-2,7 --budget 1,1/5 "
        "--budget 1/3 --no-controls --robustness --arch resnet20s --epochs 4 --batch-size 32 "
        "--lr 0.05 --milestones 0.5 --schedule linear --compile --fraction 0.3 --replay buffer "
        "--buffer-size 70 --out there --device cpu --jobs 2 --threads 1 --tensorboard --wandb "
        "--resident-mib 512"
    )
    assert (settings.dataset, settings.data, settings.side) == ("zips", "here", 16)
    assert (settings.chunks, settings.chunk_size, settings.test_images) == (3, 1500, 9)
    assert (settings.select, settings.label_noise) == (0.2, (0.0, 0.2))
    assert (settings.methods, settings.seeds) == (("lure", "warm"), (0, 1, 2, 7))
    assert settings.budgets == ("1", "1/5", "1/3")
    assert (settings.controls, settings.robustness) == (False, True)
    assert (settings.architecture, settings.recipe.epochs) == ("resnet20s", 4)
    assert (settings.recipe.batch_size, settings.recipe.learning_rate) == (32, 0.05)
    assert (settings.recipe.milestones, settings.recipe.schedule) == ((0.5,), "linear")
    assert settings.recipe.compile
    assert settings.unlearn.fraction == 0.3
    assert (settings.replay.kind, settings.replay.capacity) == ("buffer", 70)
    assert (settings.out, settings.device, settings.jobs, settings.threads) == (
        "there",
        "cpu",
        2,
        1,
    )
    assert settings.tensorboard
    assert settings.wandb
    assert settings.resident_mib == 512


def test_flags_overrule_the_file_and_the_file_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'methods = ["mine"]\nseeds = [4, 5]\n[recipe]\nepochs = 7\nbatch_size = 16\n'
        "[custom.mine.unlearn]\nfraction = 0.1\n"
    )
    settings = parsed(f"--preset digits-pilot --config {file} --epochs 3")
    assert (settings.recipe.epochs, settings.recipe.batch_size) == (3, 16)
    assert settings.recipe.learning_rate == 0.05  # the preset's
    assert (settings.methods, settings.seeds) == (("mine",), (4, 5))
    assert settings.custom == {"mine": {"unlearn": {"fraction": 0.1}}}


def test_every_packaged_preset_is_sound() -> None:
    folder = Path(options.__file__).parent / "presets"
    names = [path.stem for path in folder.glob("*.toml")]
    assert "digits-pilot" in names
    for name in names:
        Experiment.from_dict(options.preset(name))


def test_the_pilot_is_the_one_whose_figures_are_known() -> None:
    pilot = Experiment.from_dict(options.preset("digits-pilot"))
    assert (pilot.chunks, pilot.chunk_size, pilot.test_images) == (8, 179, 360)
    assert round(pilot.select * 179) == 17
    recipe = pilot.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (30, 64, 0.05)
    assert (recipe.milestones, recipe.gamma, recipe.weight_decay) == ((0.4, 0.8), 0.1, 1e-4)
    assert (recipe.augmentation, recipe.precision) == ("none", "fp32")
    assert {"scratch", "warm", "lure", "random-reset", "fire"} <= set(pilot.methods)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--dataset cifar11", r"experiment.dataset .*did you mean 'cifar10'"),
        ("--preset digit-pilots", "no preset 'digit-pilots'; did you mean digits-pilot"),
        ("--method lure", "no --method; did you mean --methods"),
        ("--metods=lure", "no --metods; did you mean --methods"),
        ("--jjjjjjjj", "no --jjjjjjjj; --help lists all"),
        ("lure", "'lure' belongs to no flag"),
        ("--epochs", "--epochs: expected one argument"),
        ("--epochs many", "--epochs: invalid int value: 'many'"),
        ("--epochs 0", r"recipe.epochs must lie between 1 and 10000, not 0"),
        ("--label-noise 0,x", "--label-noise: invalid list of floats"),
        ("--label-noise 1", "experiment.label_noise must be shares"),
        ("--seeds 1,1", "experiment.seeds must be one or more different"),
        ("--seeds 3-1", "the range '3-1' runs backwards"),
        ("--seeds 1-", "neither a number nor a range"),
        ("--seeds 0-99999", "more than 10000 seeds"),
        ("--budget 1/0", "experiment.budgets must be fractions"),
        ("--shots 0", "experiment.shots must lie between 1"),
        ("--shots 2 --chunk-size 20", "experiment.chunk_size cannot be given with shots"),
        ("--config nowhere.toml", "nowhere.toml cannot be read: No such file"),
        ("--replay ful", "replay.kind .*did you mean 'full'"),
    ],
)
def test_a_mistake_is_told_in_one_line(line: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        options.parse(line.split())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("epochs = ", "is no TOML"),
        ("epoch = 3", "experiment knows no 'epoch'"),
        ("[recipe]\nepoch = 3", "recipe knows no 'epoch'"),
        ("recipe = 3", "recipe"),
        ("seeds = 3", "experiment.seeds must be a list"),
    ],
)
def test_a_mistake_in_a_file_is_told(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=told):
        options.parse(["--config", str(file)])


def test_a_flag_overrules_a_table_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("recipe = 3")
    assert parsed(f"--config {file} --epochs 3").recipe.epochs == 3


def test_the_file_in_the_handbook_is_sound(tmp_path: Path) -> None:
    handbook = (Path(__file__).parents[3] / "docs" / "experiments.md").read_text()
    file = tmp_path / "mine.toml"
    file.write_text(handbook.split("```toml\n")[1].split("```")[0])
    settings = parsed(f"--config {file} --seeds 0-4")
    methods.resolve("half", settings)
    assert settings.budgets == ("1", "1/3")


def test_help_fits_a_page_and_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(["--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 80
    assert "--snip_size" not in "".join(lines)


spans = st.integers(0, 5000).flatmap(
    lambda first: st.integers(0, 20).map(lambda more: (first, first + more))
)


@given(st.lists(spans, min_size=1, max_size=8))
def test_ranges_of_seeds_mean_every_number_in_them(pairs: list[tuple[int, int]]) -> None:
    text = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in pairs)
    wanted = [seed for a, b in pairs for seed in range(a, b + 1)]
    assert list(options.seeds(text)) == wanted


@given(st.text("0123456789-, x", max_size=12))
def test_any_text_is_seeds_or_a_complaint(text: str) -> None:
    try:
        found = options.seeds(text)
    except argparse.ArgumentTypeError as fault:
        assert str(fault)  # noqa: PT017 - either outcome is right
    else:
        assert found
        assert all(seed >= 0 for seed in found)
