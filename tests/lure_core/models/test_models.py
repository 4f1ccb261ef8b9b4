"""Architectures: shapes, sizes, seeds, and agreement with torchvision's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18

from lure_core import models
from lure_core.config import InputSpec
from lure_core.errors import UnknownArchitecture
from lure_core.models.cost import forward_flops
from lure_core.rng import forked
from tests.lure_core.making import create_net, same


@pytest.mark.parametrize("architecture", ["resnet18", "resnet20s"])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 9, 13), (3, 32, 32)])
def test_any_input_gives_logits_in_both_modes(
    architecture: str, channels: int, height: int, width: int
) -> None:
    spec = InputSpec(channels, height, width)
    model = models.build(architecture, classes=7, input=spec, seed=1)
    x = torch.zeros(2, channels, height, width)
    assert model(x).shape == (2, 7)
    assert model.eval()(x[:1]).shape == (1, 7)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet20s"])
def test_a_seed_is_a_model(architecture: str) -> None:
    one, again, other = (create_net(seed, architecture).state_dict() for seed in (4, 4, 5))
    assert same(one, again)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_resnet18_is_torchvisions_behind_another_stem() -> None:
    ours = models.build("resnet18", classes=10, input=InputSpec(3, 32, 32), seed=1).eval()
    with forked(0):
        theirs = torchvision_resnet18(num_classes=10)
        theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    with forked(2):
        x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(ours(x), theirs.eval()(x), atol=1e-5)


def test_resnet18_starts_as_wide_as_torchvisions() -> None:
    ours = models.build("resnet18", classes=10, input=InputSpec(3, 32, 32), seed=1).state_dict()
    with forked(0):
        theirs = torchvision_resnet18(num_classes=10).state_dict()
    for name in ("layer1.0.conv1.weight", "layer4.1.conv2.weight", "layer2.0.downsample.0.weight"):
        assert float(ours[name].std()) == pytest.approx(float(theirs[name].std()), rel=0.05)


def test_sizes_are_the_known_ones() -> None:
    def count(name: str) -> int:
        model = models.build(name, classes=10, input=InputSpec(3, 32, 32), seed=0)
        return sum(p.numel() for p in model.parameters())

    assert count("resnet20s") == 269_722
    assert count("resnet18") == 11_173_962


def test_flops_are_twice_the_multiply_adds() -> None:
    spec = InputSpec(3, 32, 32)
    model = models.build("resnet18", classes=10, input=spec, seed=0)
    assert forward_flops(model, spec) == 2 * 555_422_720
    assert model.training
    with forked(0):
        small = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(128, 5))
    assert forward_flops(small, InputSpec(1, 8, 8)) == 2 * (9 * 2 * 64 + 128 * 5)


def test_an_unknown_name_lists_the_near_ones() -> None:
    with pytest.raises(UnknownArchitecture, match="resnet20s") as caught:
        models.build("resnet20", classes=2, input=InputSpec(1, 8, 8), seed=0)
    assert "resnet20s" in caught.value.near
    assert models.known() == ["mlp", "resnet18", "resnet20s"]
