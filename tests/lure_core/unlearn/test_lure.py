"""LURE: the least salient weights, on a subset, with statistics that fit."""

from __future__ import annotations

import copy

import pytest
import torch

from lure_core import snip
from lure_core.unlearn import estimate_batchnorm
from tests.lure_core.making import create_batches, same
from tests.lure_core.unlearn.zoo import forget, fresh, old, original


def test_new_values_come_from_the_fresh_model() -> None:
    model, _ = forget("lure")
    before, new = original("resnet20s").state_dict(), fresh("resnet20s").state_dict()
    for name in snip.weight_names(model):
        after = model.get_parameter(name)
        assert ((after == before[name]) | (after == new[name])).all()


def test_the_least_salient_are_reset() -> None:
    before = old("resnet20s")
    estimate_batchnorm(before, create_batches(90))  # as a trained net has: else few gradients flow
    model, report = forget("lure", model=copy.deepcopy(before), data=create_batches(90))
    names = snip.weight_names(before)
    scores = snip.saliency(before, create_batches(90), names=names, how="sum")
    assert report.threshold is not None
    for name in names:
        reset = model.get_parameter(name) != before.get_parameter(name)
        assert torch.equal(reset, scores[name] <= report.threshold)
    assert (report.ties, report.subset_images) == (1, 90)


def test_a_share_of_the_data_is_scored_on_when_there_is_plenty() -> None:
    _, report = forget("lure", "mlp", subset_fraction=0.5, subset_min=10)
    assert report.subset_images == 20


def test_batchnorm_is_estimated_anew() -> None:
    model, _ = forget("lure")
    expected = copy.deepcopy(model)
    estimate_batchnorm(expected, create_batches(40))
    assert same(model.state_dict(), expected.state_dict())
    assert not torch.equal(model.get_buffer("bn1.running_mean"), torch.zeros(16))


@pytest.mark.parametrize("how", ["sum", "abs_batch", "abs_sample"])
def test_every_saliency_resets_its_exact_share(how: str) -> None:
    _, report = forget("lure", saliency=how, subset_min=12, subset_fraction=0.0)
    assert (report.subset_images, report.reset) == (12, round(0.2 * report.counted))
