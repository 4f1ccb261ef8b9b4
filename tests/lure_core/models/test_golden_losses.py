"""Every architecture starts, costs and learns as recorded (`golden_losses` says how)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lure_core import models
from tests.lure_core.models.golden_losses import PATH, SMALL_VIT, TOLERANCE, facts

RECORDED: dict[str, dict[str, Any]] = json.loads(PATH.read_text())
LARGE = 40_000_000  # parameters from which building alone takes seconds


def test_every_architecture_is_recorded() -> None:
    assert list(RECORDED) == [*models.known(), SMALL_VIT]


def _cases() -> list[Any]:
    large = {name for name, values in RECORDED.items() if values["parameters"] > LARGE}
    return [pytest.param(n, marks=[pytest.mark.slow] * (n in large)) for n in RECORDED]


@pytest.mark.parametrize("architecture", _cases())
def test_losses_are_the_recorded_ones(architecture: str) -> None:
    found, recorded = facts(architecture), RECORDED[architecture]
    assert found["losses"] == pytest.approx(recorded["losses"], rel=TOLERANCE)
    assert found["parameters"] == recorded["parameters"]
    assert found["forward_flops"] == recorded["forward_flops"]
