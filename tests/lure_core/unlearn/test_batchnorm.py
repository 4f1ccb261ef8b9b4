"""BatchNorm's statistics as the plain average over batches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lure_core.unlearn import estimate_batchnorm
from tests.lure_core.making import create_batches, create_net, same
from tests.lure_core.unlearn.zoo import old


def test_the_estimates_are_the_batches_mean() -> None:
    model = create_net(1)
    batches = create_batches(64)
    assert estimate_batchnorm(model, batches) == 64
    ((x, _),) = list(batches)
    mean = F.conv2d(x, model.get_parameter("conv1.weight"), padding=1).mean(dim=(0, 2, 3))
    torch.testing.assert_close(model.get_buffer("bn1.running_mean"), mean)
    assert model.training
    assert model.get_submodule("bn1").momentum == 0.1


def test_one_image_leaves_the_statistics() -> None:
    model = create_net(1)
    assert estimate_batchnorm(model, create_batches(1)) == 0
    assert same(model.state_dict(), create_net(1).state_dict())


def test_a_model_without_statistics_sees_no_image() -> None:
    assert estimate_batchnorm(old("vit"), create_batches(8)) == 0
    plain = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten())
    assert estimate_batchnorm(plain, create_batches(8)) == 0
