"""Heads: found, bounded by a stage, and grown without a bit of the old logits changing."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lure_core import models
from lure_core.config import InputSpec
from lure_core.errors import ConfigError
from lure_core.rng import forked
from tests.lure_core.models.golden_losses import SMALL_VIT

SPEC = InputSpec(3, 16, 16)


def build(architecture: str, classes: int, *, seed: int = 1) -> nn.Module:
    return models.build(architecture, classes=classes, input=SPEC, seed=seed).eval()


def images(count: int) -> Tensor:
    with forked(count):
        return torch.randn(count, 3, 16, 16)


def linear(inside: int, outside: int, *, bias: bool = True, seed: int = 0) -> nn.Sequential:
    with forked(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(inside, outside, bias=bias))


@pytest.mark.parametrize("architecture", ["resnet20s", "mlp", "vgg11_bn", SMALL_VIT])
@pytest.mark.parametrize("channels_last", [False, True])
def test_old_logits_keep_every_bit(architecture: str, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = build(architecture, 10).to(memory_format=layout)  # type: ignore[call-overload]
    x = images(7).contiguous(memory_format=layout)
    before = model(x)
    models.grow_head(model, build(architecture, 13, seed=2))
    assert torch.equal(model(x)[:, :10], before)
    with torch.inference_mode():
        assert torch.equal(model(x)[:, :10], before)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    inside=st.sampled_from([64, 100, 512, 2048]),
    steps=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    count=st.sampled_from([1, 2, 7, 64, 256]),
    bias=st.booleans(),
)
def test_old_logits_keep_every_bit_for_any_numbers(
    inside: int, steps: list[int], count: int, bias: bool
) -> None:
    with forked(count):
        x = torch.randn(count, inside)
    classes, model = steps[0], linear(inside, steps[0], bias=bias)
    for seed, step in enumerate(steps[1:], start=1):
        before = model(x)
        models.grow_head(model, linear(inside, classes + step, bias=bias, seed=seed))
        after = model(x)
        assert after.shape == (count, classes + step)
        assert torch.equal(after[:, :classes], before)
        classes += step


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    old=st.integers(1, 40),
    added=st.integers(1, 40),
    count=st.sampled_from([1, 2, 7, 64]),
    channels_last=st.booleans(),
)
def test_a_convolution_grows_alike(old: int, added: int, count: int, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    with forked(old):
        x = torch.randn(count, 64, 3, 3).contiguous(memory_format=layout)
        model, fresh = (nn.Sequential(nn.Conv2d(64, n, 1)) for n in (old, old + added))
    model.to(memory_format=layout)  # type: ignore[call-overload]
    before = model(x)
    models.grow_head(model, fresh)
    assert torch.equal(model(x)[:, :old], before)


def test_new_rows_are_the_fresh_models() -> None:
    model, fresh = build("resnet20s", 4), build("resnet20s", 6, seed=2)
    old = deepcopy(model.state_dict())
    models.grow_head(model, fresh)
    grown = model.state_dict()
    assert torch.equal(grown["fc.weight"], torch.cat([old["fc.weight"], fresh.fc.weight[4:]]))
    assert torch.equal(grown["fc.bias"], torch.cat([old["fc.bias"], fresh.fc.bias[4:]]))
    assert all(torch.equal(grown[n], old[n]) for n in old if not n.startswith("fc."))


def test_a_grown_model_is_the_wider_ones_equal_but_for_rounding() -> None:
    model, fresh = build("resnet20s", 4), build("resnet20s", 6, seed=2)
    models.grow_head(model, fresh)
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert torch.allclose(model(images(3)), fresh(images(3)), atol=1e-5)
    again = deepcopy(model)
    assert torch.equal(again(images(3)), model(images(3)))
    assert not model.get_submodule("fc").training


def test_a_grown_head_learns_all_its_rows() -> None:
    model = build("mlp", 4).train()
    models.grow_head(model, build("mlp", 6, seed=2))
    model(images(2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert models.head(model)[1].out_features == 6


def test_growing_draws_nothing() -> None:
    model, fresh = build("mlp", 4), build("mlp", 6, seed=2)
    before = torch.get_rng_state()
    models.grow_head(model, fresh)
    assert torch.equal(torch.get_rng_state(), before)


def test_as_many_outputs_change_nothing() -> None:
    model = build("mlp", 4)
    head = models.head(model)[1]
    models.grow_head(model, build("mlp", 4, seed=2))
    assert models.head(model)[1] is head


def test_shrinking_and_other_bodies_are_refused() -> None:
    with pytest.raises(ConfigError, match="classes: 3 are fewer than the 4 before"):
        models.grow_head(build("mlp", 4), build("mlp", 3))
    with pytest.raises(ConfigError, match="more than its head"):
        models.grow_head(build("mlp", 4), build("resnet20s", 5))
    with pytest.raises(ConfigError, match="more than its head"):
        models.grow_head(linear(8, 2), linear(9, 3))


def test_heads_are_named() -> None:
    assert models.head(build("resnet18", 5))[0] == "fc"
    assert models.head(build("mlp", 5))[0] == "5"
    with pytest.raises(ConfigError, match="no classifier"):
        models.head(nn.Sequential(nn.ReLU()))


def test_the_last_stage_lies_before_the_head() -> None:
    stages = {n.split(".")[0] for n in models.last_stage(build("resnet18", 5))}
    assert stages == {"layer4"}
    assert {n.split(".")[0] for n in models.last_stage(build("resnet20s", 5))} == {"layer3"}
    assert models.last_stage(build("mlp", 5)) == ["3.weight", "3.bias"]


def test_the_last_stage_of_an_unknown_net_is_a_quarter_of_its_layers() -> None:
    with forked(0):
        layers = [nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)) for _ in range(7)]
        net = nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Flatten(), nn.Linear(4, 2))
    named = models.last_stage(net)
    assert named[0] == "6.0.weight"
    assert named[-1] == "7.1.bias"
    assert len(named) == 8
    assert models.last_stage(linear(4, 2)) == []
