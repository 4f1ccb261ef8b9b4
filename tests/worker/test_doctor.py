"""Whether torch works, as `lure doctor` sees it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from store.checks.finding import State
from worker.doctor import examine

DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"


@pytest.fixture
def card(tmp_path: Path) -> tuple[Path, Path]:
    """The nodes of a machine with one NVIDIA card, and its driver's file."""
    devices, driver = tmp_path / "dev", tmp_path / "version"
    devices.mkdir()
    (devices / "nvidia0").touch()
    (devices / "nvidiactl").touch()
    driver.write_text(DRIVER)
    return devices, driver


def test_torch_and_torchvision_are_a_pair_and_there_is_no_card(tmp_path: Path) -> None:
    found = examine(tmp_path, tmp_path / "none")
    assert [finding.state for finding in found] == [State.OK, State.OK]
    assert torch.__version__ in found[0].found


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the card can be used")
def test_a_card_that_torch_cannot_use_is_a_failure(card: tuple[Path, Path]) -> None:
    found = examine(*card)[1]
    assert found.state is State.FAILURE
    assert "nvidia0 is there, driver 550.54.15" in found.found
    build = "is a CPU build" if torch.version.cuda is None else f"CUDA {torch.version.cuda} cannot"
    assert build in found.found


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("torch", OSError("libcudart.so.13: cannot open shared object file")),
        ("torchvision", RuntimeError("operator torchvision::nms does not exist")),
        ("torchvision.ops", AttributeError("no such operator")),
    ],
)
def test_a_library_that_cannot_be_loaded_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str, error: Exception
) -> None:
    load = importlib.import_module

    def refuse(name: str, package: str | None = None) -> Any:
        if name == broken:
            raise error
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", refuse)
    found = examine(tmp_path, tmp_path / "none")[0]
    assert found.state is State.FAILURE
    assert "pip install torch torchvision" in found.remedy


def test_it_prints_one_json_document() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "worker.doctor"], capture_output=True, text=True, check=False
    )
    assert [finding["name"] for finding in json.loads(ended.stdout)] == ["torch", "gpu"]
