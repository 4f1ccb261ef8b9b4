"""The average of the weights: its decay, its statistics, its independence of the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lure_core.averaging import Average
from lure_core.rng import forked
from tests.lure_core.making import create_net, same


def create_layer(value: float) -> nn.Linear:
    with forked(0):
        layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_its_decay_warms_up_to_the_one_asked_for() -> None:
    """After t steps the start weighs the product of min(decay, (1 + t) / (10 + t))."""
    layer = create_layer(1.0)
    average = Average.of(layer)
    nn.init.zeros_(layer.weight)
    expected = 1.0
    for kept in (1 / 10, 2 / 11, 3 / 12, 0.27, 0.27):
        average.follow(layer, decay=0.27)
        expected *= kept
        assert float(average.model.weight) == pytest.approx(expected, rel=1e-6)
    assert average.steps == 5


def test_of_equal_weights_it_is_those_weights() -> None:
    net = create_net()
    average = Average.of(net)
    for _ in range(3):
        average.follow(net, decay=0.9)
    assert same(average.model.state_dict(), net.state_dict())


def test_what_is_no_weight_is_copied_when_asked_for() -> None:
    layer = nn.BatchNorm2d(2)
    average = Average.of(layer)
    layer.train()(torch.full((4, 2, 1, 1), 5.0) + torch.arange(4.0)[:, None, None, None])
    average.follow(layer, decay=0.999)
    assert int(average.model.num_batches_tracked) == 0
    average.take_buffers(layer)
    assert same(average.model.state_dict(), layer.state_dict())


def test_it_neither_trains_nor_moves_with_the_model() -> None:
    net = create_net().train()
    average = Average.of(net)
    assert not average.model.training
    assert net.training
    assert not any(p.requires_grad for p in average.model.parameters())
    assert all(p.requires_grad for p in net.parameters())
    before = {name: value.clone() for name, value in average.model.state_dict().items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert same(average.model.state_dict(), before)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_it_keeps_the_memory_layout(form: torch.memory_format) -> None:
    net = create_net().to(memory_format=form)  # type: ignore[call-overload]
    average = Average.of(net)
    average.follow(net, decay=0.9)
    strides = [p.stride() for p in net.parameters()]
    assert [p.stride() for p in average.model.parameters()] == strides
