"""Architectures: shapes, sizes, seeds, and agreement with torchvision's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18

from lure_core import models
from lure_core.config import InputSpec
from lure_core.rng import forked
from tests.lure_core.making import create_net, same


@pytest.mark.parametrize("architecture", ["mlp", "resnet18", "resnet20s", "vgg11_bn"])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 9, 13), (3, 32, 32)])
def test_any_input_gives_logits_in_both_modes(
    architecture: str, channels: int, height: int, width: int
) -> None:
    spec = InputSpec(channels, height, width)
    model = models.build(architecture, classes=7, input=spec, seed=1)
    x = torch.zeros(2, channels, height, width)
    assert model(x).shape == (2, 7)
    assert model.eval()(x[:1]).shape == (1, 7)


@pytest.mark.parametrize("architecture", ["mlp", "resnet18", "resnet20s", "vgg11_bn"])
def test_a_seed_is_a_model(architecture: str) -> None:
    one, again, other = (create_net(seed, architecture).state_dict() for seed in (4, 4, 5))
    assert same(one, again)
    assert not same(one, other)


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
    assert count("resnet32s") == 464_154
    assert count("resnet44s") == 658_586
    assert count("resnet56s") == 853_018
    assert count("resnet110s") == 1_727_962  # He et al. 2015, table 6: 0.27 M to 1.7 M
    assert count("resnet18") == 11_173_962
    assert count("vgg16_bn") == 14_728_266


def test_the_pilots_mlp() -> None:
    model = models.build("mlp", classes=10, input=InputSpec(1, 8, 8), seed=3)
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes == [(100, 64), (100,), (100, 100), (100,), (10, 100), (10,)]
    assert not any(isinstance(m, nn.BatchNorm1d) for m in model.modules())


def test_the_registry() -> None:
    thin = {f"resnet{depth}s" for depth in (20, 32, 44, 56, 110)}
    residual = {f"resnet{depth}" for depth in (18, 34, 50, 101, 152)}
    wide = {"wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d"}
    vgg = {f"vgg{depth}_bn" for depth in (11, 13, 16, 19)}
    assert models.known() == sorted(models.known())
    assert {"mlp", *thin, *residual, *wide, *vgg} <= set(models.known())


def test_the_table_of_architectures_is_complete() -> None:
    page = (Path(__file__).parents[3] / "docs" / "architectures.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    table = rows[: len(models.known())]
    assert sorted(table) == models.known()
