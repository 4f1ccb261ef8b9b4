"""Forward costs against counts of our own, published figures and whole training steps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lure_core import models
from lure_core.config import InputSpec
from lure_core.models.cost import forward_flops
from lure_core.rng import forked
from tests.lure_core.making import create_net
from tests.lure_core.models.golden_losses import SMALL_VIT

SMALL = InputSpec(3, 32, 32)
OF_LAYERS = [
    *("mlp", "resnet18", "resnet20s", "vgg11_bn", "densenet121", "efficientnet_b0", "googlenet"),
    *("mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5", "squeezenet1_1"),
]


def build(name: str, input: InputSpec = SMALL) -> nn.Module:
    return models.build(name, classes=7, input=input, seed=0)


def layer_flops(model: nn.Module, input: InputSpec) -> list[int]:
    """Of each convolution and linear layer, in the order in which they are called."""
    found = []

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        weight = module.get_parameter("weight")
        found.append(2 * weight.numel() * output.numel() // len(weight))

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    model.eval()(torch.zeros(1, input.channels, input.height, input.width))
    return found


@pytest.mark.parametrize("name", OF_LAYERS)
def test_nets_of_layers_cost_what_their_layers_do(name: str) -> None:
    model = build(name)
    assert forward_flops(model, SMALL) == sum(layer_flops(model, SMALL))


def test_flops_are_twice_the_multiply_adds() -> None:
    model = models.build("resnet18", classes=10, input=SMALL, seed=0)
    assert forward_flops(model, SMALL) == 2 * 555_422_720
    with forked(0):
        small = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(128, 5))
    assert forward_flops(small, InputSpec(1, 8, 8)) == 2 * (9 * 2 * 64 + 128 * 5)


def test_transposed_convolutions_and_bare_products_count() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(1, 3, 2, stride=2)
            self.mix = nn.Parameter(torch.ones(3 * 256, 5))

        def forward(self, x: Tensor) -> Tensor:
            return self.up(x).flatten(1) @ self.mix

    with forked(0):
        model = Odd()
    assert forward_flops(model, InputSpec(1, 8, 8)) == 2 * (64 * 3 * 4 + 3 * 256 * 5)


def test_attention_counts_projections_and_both_products() -> None:
    tokens, width, hidden, patches, blocks = 65, 32, 64, 64, 2
    projections = 4 * tokens * width * width
    products = 2 * tokens * tokens * width
    perceptron = 2 * tokens * width * hidden
    patching, head = patches * 3 * 4 * 4 * width, width * 7
    macs = patching + blocks * (projections + products + perceptron) + head
    assert forward_flops(build(SMALL_VIT), SMALL) == 2 * macs


@pytest.mark.parametrize("name", ["resnet50", "swin_t", "vit_b_32", "efficientnet_b0"])
def test_costs_at_224_px_are_the_published_ones(name: str) -> None:
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    input = InputSpec(3, 224, 224)
    model = models.build(name, classes=1000, input=input, seed=0)
    giga_macs = forward_flops(model, input) / 2e9
    assert giga_macs == pytest.approx(weights.meta["_ops"], abs=6e-4)


@pytest.mark.parametrize("name", ["mlp", "resnet20s", "resnet18", "vgg11_bn", SMALL_VIT])
def test_a_training_step_costs_three_times_but_for_the_images_gradient(name: str) -> None:
    model, count = build(name), 4
    forward = forward_flops(model, SMALL)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(torch.zeros(count, 3, 32, 32))
        F.cross_entropy(logits, torch.zeros(count, dtype=torch.int64)).backward()
    first = layer_flops(model, SMALL)[0]
    assert counter.get_total_flops() == count * (3 * forward - first)


def test_counting_leaves_the_model_as_it_was() -> None:
    model = create_net()
    model.get_submodule("bn1").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward_flops(model, InputSpec(1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, m in model.named_modules() if not m.training] == ["bn1"]
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_number_formats_cost_alike(dtype: torch.dtype) -> None:
    input = InputSpec(1, 8, 8)
    assert forward_flops(create_net().to(dtype), input) == forward_flops(create_net(), input)


def test_a_grown_model_costs_what_the_wider_one_does() -> None:
    model, fresh = build("mlp"), models.build("mlp", classes=9, input=SMALL, seed=1)
    models.grow_head(model, fresh)
    assert forward_flops(model, SMALL) == forward_flops(fresh, SMALL)
