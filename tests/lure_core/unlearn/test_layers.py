"""Renewing the last layers, and bringing layers back to their first norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lure_core import models, snip, unlearn
from lure_core.config import Unlearn
from lure_core.errors import ConfigError
from lure_core.rng import forked, generator
from tests.lure_core.making import create_batches, same
from tests.lure_core.unlearn.zoo import MODELS, create, differing, forget, fresh, old, original


@pytest.mark.parametrize("kind", MODELS)
def test_last_layer_renews_the_head_and_nothing_else(kind: str) -> None:
    model, report = forget("last-layer", kind)
    head, _ = models.head(model)
    for name, value in model.state_dict().items():
        source = fresh(kind) if name.startswith(f"{head}.") else original(kind)
        assert torch.equal(value, source.state_dict()[name])
    renewed = [name for name, share in report.layer_share.items() if share]
    assert renewed == [f"{head}.weight", f"{head}.bias"]
    assert (report.flops, report.subset_images) == (0, 0)


@pytest.mark.parametrize("kind", MODELS)
def test_later_layers_renews_the_last_stage_and_the_head(kind: str) -> None:
    model, report = forget("later-layers", kind)
    stage = set(models.last_stage(model))
    head, _ = models.head(model)
    for name, parameter in model.named_parameters():
        later = name in stage or name.startswith(f"{head}.")
        source = fresh(kind) if later else original(kind)
        assert torch.equal(parameter, source.get_parameter(name))
        assert report.layer_share[name] == float(later)


def test_a_resnets_last_stage_is_its_last_layer_with_the_normalisation() -> None:
    model, _ = forget("later-layers")
    changed = {name for name, mask in differing(original("resnet20s"), model).items() if mask.any()}
    assert {name.split(".")[0] for name in changed} == {"layer3", "fc"}
    assert "layer3.0.bn1.weight" in changed
    expected = model.get_buffer("layer3.0.bn1.running_mean").clone()
    unlearn.estimate_batchnorm(model, create_batches(40))
    torch.testing.assert_close(model.get_buffer("layer3.0.bn1.running_mean"), expected)


def test_a_model_that_is_but_a_head_has_no_later_layers() -> None:
    with forked(1):
        model, new = (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(2))
    arguments = (model, new, create_batches(8), generator(0))
    with pytest.raises(ConfigError, match="Sequential has no stage before its head"):
        unlearn.strategy(Unlearn(strategy="later-layers")).apply(*arguments)
    unlearn.strategy(Unlearn(strategy="last-layer")).apply(*arguments)
    assert same(model.state_dict(), new.state_dict())


@pytest.mark.parametrize("kind", MODELS)
def test_rescale_gives_each_weight_its_first_norm_and_keeps_its_direction(kind: str) -> None:
    model, report = forget("rescale", kind)
    for name in snip.weight_names(model):
        after, before = (m.get_parameter(name).detach() for m in (model, original(kind)))
        torch.testing.assert_close(after.norm(), fresh(kind).get_parameter(name).norm().detach())
        torch.testing.assert_close(after / after.norm(), before / before.norm())
        assert report.details["factors"][name] == pytest.approx(float(after.norm() / before.norm()))


def test_rescale_lets_a_chain_compute_a_multiple_of_what_it_did() -> None:
    model, report = forget("rescale", "mlp")
    ((x, _),) = list(create_batches(40))
    product = 1.0
    for factor in report.details["factors"].values():
        product *= factor
    with torch.no_grad():
        torch.testing.assert_close(model(x), product * original("mlp")(x))


def test_rescale_leaves_normalisation_alone_and_biases_follow_their_weights() -> None:
    model, report = forget("rescale", "vit")
    for name, parameter in model.named_parameters():
        if "norm" in name or name == "position" or name.startswith("mixer.0"):
            assert torch.equal(parameter, original("vit").get_parameter(name))
    factor = report.details["factors"]["mixer.1.weight"]
    expected = factor * original("vit").get_parameter("mixer.1.bias")
    torch.testing.assert_close(model.get_parameter("mixer.1.bias"), expected)


def test_a_weight_without_a_first_norm_stays() -> None:
    model, new = old("mlp"), create("mlp", 2)
    nn.init.zeros_(new.get_parameter("5.weight"))
    chosen = unlearn.strategy(Unlearn(strategy="rescale"))
    report = chosen.apply(model, new, create_batches(8), generator(0))
    assert torch.equal(model.get_parameter("5.weight"), original("mlp").get_parameter("5.weight"))
    assert report.details["factors"]["5.weight"] == 1.0
    assert report.layer_share["5.weight"] == 0.0
