"""The command as it is typed, from words to records, table and exit code."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lure_core.experiment.__main__ import main
from tests.lure_core.experiment.test_aliases import CIFAR10, RESTRICTED, filled
from tests.lure_core.experiment.writing import write_cifar10, write_folder

CLASSES = [f"class {number:02d}" for number in range(14)]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than all else here."""
    monkeypatch.setattr("lure_core.experiment.plots.available", lambda: False)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def typed(line: str) -> int:
    return main(shlex.split(line.replace("\\\n", "")))


def generated_imagenet(root: Path, *, train: int, val: int, side: int = 224) -> Path:
    write_folder(root / "train", CLASSES, each=train, side=side, suffix=".JPEG")
    write_folder(root / "val", CLASSES, each=val, side=side, suffix=".JPEG")
    return root


def test_a_small_comparison_leaves_records_a_table_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        f"--preset digits-pilot --methods lure --seeds 0-1 --chunks 2 --epochs 1 --out {tmp_path}"
    )
    assert typed(f"{line} --label-noise 0 --budget 1 --threads 1") == 0
    table = capsys.readouterr().out
    assert "digits, mlp, 2 chunks" in table
    found = records(tmp_path)
    assert {record["method"] for record in found} == {"lure", "scratch", "random-reset"}
    assert {record["seed"] for record in found} == {0, 1}
    assert all(record["test_images"] == 360 for record in found)


def test_the_readmes_cifar_line_runs_with_less_of_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line to the letter, and flags behind it that make it quick; they overrule.

    With its own network and all mega-batches below, among the slow ones.
    """
    write_cifar10(tmp_path / "data", train=40, test=10)
    line = filled(CIFAR10, data=tmp_path / "data", save=tmp_path / "save")
    less = "--epochs 1 --chunks 3 --chunk-size 12 --arch resnet20s --threads 1 --device cpu"
    assert typed(f"{line.strip()} {less}") == 0
    found = records(tmp_path / "save" / "run")
    assert [(r["method"], r["seed"], r["chunk"]) for r in found] == [
        ("lure", 10, t) for t in (1, 2, 3)
    ]
    told = capsys.readouterr().err
    assert "note: --sparsity_level is ignored" in told


def test_the_readmes_imagenet_line_runs_with_less_of_everything(tmp_path: Path) -> None:
    imagenet = generated_imagenet(tmp_path / "imagenet", train=2, val=1)
    line = filled(RESTRICTED, imagenet=imagenet, save=tmp_path / "save")
    less = "--epochs 1 --chunks 2 --chunk-size 14 --arch mlp --side 32 --threads 1 --device cpu"
    assert typed(f"{line.strip()} {less}") == 0
    assert len(records(tmp_path / "save" / "run")) == 2


def test_few_shot_imagenet_runs_at_224_pixels(tmp_path: Path) -> None:
    imagenet = generated_imagenet(tmp_path / "imagenet", train=2, val=1)
    line = (
        f"--dataset restricted-imagenet --data {imagenet} --chunks 2 --n-shots 2 --out {tmp_path}"
    )
    rest = "--arch mlp --epochs 1 --methods lure --no-controls --threads 1 --device cpu"
    assert typed(f"{line} {rest}") == 0
    assert [record["train_images"] for record in records(tmp_path)] == [13, 26]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--dataset cifar10", "experiment.data is needed for cifar10"),
        ("--arch resnet81", "unknown architecture 'resnet81'; did you mean resnet18"),
        ("--methods lur", "there is no 'lur'; did you mean lure"),
        ("--see 3", "there is no --see; did you mean --seed"),
        ("--device cuda:77", "cuda:77"),
        ("--arch vit_b_16", "a multiple of 16 pixels, not 8x8"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    assert typed(f"{line} --out {tmp_path}") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lure_core.experiment: ")
    assert told in last
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_folder_of_data_may_be_mended_in_the_same_place(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "data", train=40, test=10)
    line = "--dataset cifar10 --chunks 2 --arch mlp --epochs 1 --methods warm --no-controls"
    rest = f"--threads 1 --device cpu --out {tmp_path / 'out'} --data {tmp_path}"
    assert typed(f"{line} {rest}/dat") == 2
    assert not (tmp_path / "out").exists()
    assert typed(f"{line} {rest}/data") == 0


def test_an_interrupt_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("lure_core.experiment.__main__.perform", stopped)
    assert main([]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def run_in_a_shell(line: str, less: str) -> None:
    """As it would be pasted, continued lines and all."""
    script = f"{shlex.quote(sys.executable)} -m lure_core.experiment {line.strip()} {less}\n"
    subprocess.run(["bash", "-euc", script], check=True, timeout=2400)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_readmes_cifar_line_runs_from_a_shell(tmp_path: Path) -> None:
    """All eight mega-batches with ResNet-18; only fewer images and epochs."""
    write_cifar10(tmp_path / "data", train=128, test=20)
    line = filled(CIFAR10, data=tmp_path / "data", save=tmp_path / "save")
    run_in_a_shell(line, "--epochs 2 --chunk-size 16")
    assert [record["chunk"] for record in records(tmp_path / "save" / "run")] == list(range(1, 9))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_readmes_imagenet_line_runs_from_a_shell(tmp_path: Path) -> None:
    """All eight mega-batches with ResNet-50 at 224 px, which the published code refuses."""
    imagenet = generated_imagenet(tmp_path / "imagenet", train=4, val=1)
    line = filled(RESTRICTED, imagenet=imagenet, save=tmp_path / "save")
    run_in_a_shell(line, "--epochs 1 --chunk-size 6")
    assert [record["chunk"] for record in records(tmp_path / "save" / "run")] == list(range(1, 9))
