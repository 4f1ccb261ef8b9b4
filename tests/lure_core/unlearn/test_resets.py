"""The controls: resets by chance and by magnitude."""

from __future__ import annotations

import pytest
import torch

from lure_core import snip
from tests.lure_core.unlearn.zoo import differing, forget, original


def test_the_smallest_weights_are_reset() -> None:
    model, report = forget("magnitude-reset", fraction=0.3)
    assert report.threshold is not None
    for name in snip.weight_names(model):
        before = original("resnet20s").get_parameter(name)
        reset = model.get_parameter(name) != before
        assert torch.equal(reset, before.abs() <= report.threshold)


def test_chance_resets_alike_in_every_layer() -> None:
    model, report = forget("random-reset", fraction=0.4)
    large = {n: s for n, s in report.layer_share.items() if model.get_parameter(n).numel() > 5000}
    assert large
    assert all(share == pytest.approx(0.4, abs=0.03) for share in large.values())
    assert (report.threshold, report.ties) == (None, 0)


def test_another_seed_resets_other_weights() -> None:
    one, other = (forget("random-reset", "mlp", seed=seed)[1].mask for seed in (1, 2))
    assert one is not None
    assert other is not None
    assert (one != other).any()


def test_chance_and_saliency_look_at_the_same_images() -> None:
    """So that a paired comparison differs in the choice of the weights alone."""
    settings = {"subset_fraction": 0.5, "subset_min": 1}
    lure, chance = (forget(s, fraction=1.0, **settings)[0] for s in ("lure", "random-reset"))
    statistics = [model.get_buffer("bn1.running_mean") for model in (lure, chance)]
    assert torch.equal(*statistics)
    assert not any(mask.any() for mask in differing(lure, chance).values())
