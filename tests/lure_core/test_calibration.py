"""Reliability bins against the ECE, and temperatures that were planted."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lure_core import calibration
from lure_core.rng import generator


def planted(temperature: float, *, count: int = 4000, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits of a model that is calibrated when they are divided by the temperature."""
    draws = generator(0)
    logits = 2 * torch.randn(count, classes, generator=draws)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=draws).squeeze(1)
    return logits * temperature, labels


answers = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


@given(answers)
def test_bins_hold_every_image_and_make_up_the_ece(found: list[tuple[float, bool]]) -> None:
    confidence = torch.tensor([sure for sure, _ in found])
    right = torch.tensor([hit for _, hit in found])
    bins = calibration.reliability(confidence, right)
    assert len(bins) == calibration.ECE_BINS == 15
    assert sum(bin_.count for bin_ in bins) == len(found)
    gaps = [
        bin_.count * abs(bin_.confidence - bin_.accuracy)
        for bin_ in bins
        if bin_.confidence is not None and bin_.accuracy is not None
    ]
    ece = calibration.calibration_error(confidence, right)
    assert sum(gaps) / len(found) == pytest.approx(ece, abs=1e-12)


def test_a_bin_is_open_below_and_closed_above_but_the_first_takes_zero() -> None:
    confidence = torch.tensor([0.0, 0.25, 0.2500001, 1.0], dtype=torch.float64)
    bins = calibration.reliability(confidence, torch.tensor([True, True, False, True]), bins=4)
    assert [bin_.count for bin_ in bins] == [2, 1, 0, 1]
    assert (bins[0].lower, bins[0].upper) == (0, 0.25)
    assert (bins[0].confidence, bins[0].accuracy) == (0.125, 1.0)
    assert (bins[2].confidence, bins[2].accuracy) == (None, None)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_planted_temperature_is_found(temperature: float) -> None:
    fitted = calibration.fit_temperature(*planted(temperature))
    assert fitted.temperature == pytest.approx(temperature, rel=0.05)
    assert fitted.nll_after <= fitted.nll_before
    assert fitted == calibration.fit_temperature(*planted(temperature))


def test_no_temperature_near_it_is_better() -> None:
    logits, labels = planted(3)
    fitted = calibration.fit_temperature(logits, labels)

    def nll(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / temperature, labels))

    assert fitted.nll_after == pytest.approx(nll(fitted.temperature), abs=1e-12)
    for factor in (0.99, 0.9999, 1.0001, 1.01):
        assert nll(fitted.temperature * factor) > fitted.nll_after


def test_where_the_loss_falls_for_ever_the_temperature_stays_bounded() -> None:
    sure, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
    right = calibration.fit_temperature(sure, labels)
    assert calibration.COLDEST <= right.temperature < 0.1
    assert right.nll_after < 1e-12
    wrong = calibration.fit_temperature(sure, 1 - labels)
    assert wrong.temperature == pytest.approx(calibration.HOTTEST)


def test_where_nothing_can_be_learned_the_temperature_is_one() -> None:
    nothing = calibration.fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.long))
    assert nothing == calibration.Temperature(1.0, 0.0, 0.0)
    flat = calibration.fit_temperature(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]))
    assert flat.temperature == 1
    assert flat.nll_after == pytest.approx(math.log(3))


def test_answers_beyond_all_doubt_are_no_trouble() -> None:
    logits = torch.tensor([[500.0, -500.0], [500.0, -500.0], [-500.0, 500.0]])
    fitted = calibration.fit_temperature(logits, torch.tensor([0, 1, 1]))
    assert math.isfinite(fitted.nll_after)
    assert fitted.temperature == pytest.approx(calibration.HOTTEST)


def test_the_report_mends_an_overconfident_model() -> None:
    logits, labels = planted(3)
    select, judge = slice(0, 2000), slice(2000, 4000)
    found = calibration.report((logits[select], labels[select]), (logits[judge], labels[judge]))
    assert json.loads(json.dumps(found)) == found
    assert found["before"]["ece"] > 0.1
    assert found["after"]["ece"] < 0.03
    assert found["after"]["nll"] < found["before"]["nll"]
    assert sum(bin_["count"] for bin_ in found["after"]["bins"]) == 2000
