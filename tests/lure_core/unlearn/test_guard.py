"""A model without normalisation does not fall silent when it is shrunk."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from lure_core.config import InputSpec, Unlearn
from lure_core.models.cost import forward_flops
from lure_core.rng import forked, generator
from lure_core.unlearn import estimate_batchnorm, strategy
from lure_core.unlearn.guard import unnormalised
from tests.lure_core.making import SIDE, create_batches
from tests.lure_core.unlearn.zoo import forget, fresh, old, original


def spread(model: nn.Module) -> float:
    """Of the logits over the images."""
    ((x, _),) = list(create_batches(40))
    with torch.no_grad():
        return float(model.eval()(x).var(dim=0).mean().sqrt())


@pytest.mark.parametrize("kind", ["mlp", "homemade"])
@pytest.mark.parametrize("preset", ["ash", "lure", "interpolate"])
def test_the_logits_spread_as_before(preset: str, kind: str) -> None:
    model, report = forget("shrink-perturb", kind, preset=preset)
    told = report.details["guard"]
    before = spread(old(kind))
    assert told["restored"] == pytest.approx(spread(model) / before, rel=1e-4)
    assert told["left"] < 0.9
    undone = told["factor"] == pytest.approx(1 / report.details["shrink"], rel=0.02)
    assert undone or 0.985 < told["restored"] < 1.015


def test_one_layer_alone_is_no_product() -> None:
    """This preset leaves the bare parameters of unknown layers alone: one linear head is left."""
    assert forget("shrink-perturb", "mlp", preset="dash")[1].details["guard"]["factor"] > 1
    assert forget("shrink-perturb", "homemade", preset="dash")[1].details["guard"] is None


def test_one_factor_goes_evenly_over_all_layers() -> None:
    model, report = forget("shrink-perturb", "mlp", preset="ash")
    factor = report.details["guard"]["factor"]
    assert 1 < factor <= 2.5
    for name, parameter in model.named_parameters():
        mixed = 0.4 * original("mlp").get_parameter(name) + 0.1 * fresh("mlp").get_parameter(name)
        torch.testing.assert_close(parameter, factor * mixed)


def test_a_pure_shrinking_is_undone_and_no_more() -> None:
    model, report = forget("shrink-perturb", "mlp", shrink=0.3, perturb=0.0)
    assert report.details["guard"]["left"] == pytest.approx(0.027, rel=0.2)
    assert report.details["guard"]["factor"] == pytest.approx(1 / 0.3, rel=0.02)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter, original("mlp").get_parameter(name), rtol=0.02, atol=0
        )


def test_dash_is_guarded_too() -> None:
    model, report = forget("dash", "mlp")
    told = report.details["guard"]
    assert told["factor"] > 1
    assert told["restored"] == pytest.approx(spread(model) / spread(old("mlp")), rel=1e-4)
    assert told["restored"] > 3 * told["left"]
    assert report.reset == report.counted


def test_it_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="lure_core.unlearn.guard"):
        forget("shrink-perturb", "mlp")
    (record,) = caplog.records
    assert "no normalisation follows" in record.getMessage()


@pytest.mark.parametrize("kind", ["resnet20s", "vit"])
@pytest.mark.parametrize("strategy", ["shrink-perturb", "dash"])
def test_a_model_that_normalises_needs_none(
    strategy: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, report = forget(strategy, kind)
    assert report.details["guard"] is None
    assert not caplog.records


NORMALISING = [
    nn.BatchNorm2d(3),
    nn.InstanceNorm2d(3),
    nn.GroupNorm(1, 3),
    nn.LayerNorm(3),
    nn.RMSNorm(3),
]


@pytest.mark.parametrize("layer", NORMALISING, ids=lambda layer: type(layer).__name__)
def test_what_stands_before_a_normalisation_is_not_exposed(layer: nn.Module) -> None:
    with forked(0):
        model = nn.Sequential(nn.Linear(3, 3), layer, nn.Linear(3, 3), nn.Dropout())
    assert unnormalised(model) == ["2.weight", "2.bias"]


def test_without_normalisation_everything_is_exposed() -> None:
    model = original("homemade")
    assert unnormalised(model) == [name for name, _ in model.named_parameters()]


def test_the_tail_behind_the_last_normalisation_is_guarded() -> None:
    """Such as the three linear layers of a VGG at ImageNet's size."""
    with forked(1):
        model, new = (
            nn.Sequential(
                nn.Conv2d(1, 8, 3, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(8 * 36, 20),
                nn.ReLU(),
                nn.Linear(20, 20),
                nn.ReLU(),
                nn.Linear(20, 3),
            )
            for _ in range(2)
        )
    estimate_batchnorm(model, create_batches(40))
    before = spread(model)
    conv = model.get_parameter("0.weight").detach().clone()
    chosen = strategy(Unlearn(strategy="shrink-perturb", shrink=0.3, perturb=0.0))
    report = chosen.apply(model, new, create_batches(40), generator(0))
    told = report.details["guard"]
    assert told["left"] == pytest.approx(0.3**4, rel=0.5)  # three layers and BatchNorm's gains
    assert told["factor"] == pytest.approx(1 / 0.3, rel=0.02)
    assert 0.2 * before < spread(model) < 0.5 * before  # what came through the gains is shrunk
    torch.testing.assert_close(model.get_parameter("0.weight"), 0.3 * conv)


def test_a_model_that_was_silent_before_is_left_so() -> None:
    model = old("mlp")
    nn.init.zeros_(model.get_parameter("5.weight"))
    _, report = forget("shrink-perturb", "mlp", model=model)
    assert report.details["guard"] is None


def test_one_image_has_no_spread() -> None:
    _, report = forget("shrink-perturb", "mlp", data=create_batches(1))
    assert report.details["guard"] is None


def test_its_passes_are_paid_for() -> None:
    model, report = forget("shrink-perturb", "mlp")
    image = forward_flops(model, InputSpec(1, SIDE, SIDE))
    passes, rest = divmod(report.flops, 40 * image)
    assert rest == 0
    assert 3 <= passes <= 10


@pytest.mark.parametrize("factors", [{"shrink": 1.0, "perturb": 0.1}, {"shrink": 0.0}])
def test_where_nothing_was_shrunk_or_nothing_kept_there_is_nothing_to_guard(
    factors: dict[str, float],
) -> None:
    _, report = forget("shrink-perturb", "mlp", **factors)
    assert report.details["guard"] is None
