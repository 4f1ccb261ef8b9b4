"""torchvision's models by name, and their forms for small and for grey images."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lure_core import models
from lure_core.config import InputSpec
from lure_core.errors import ConfigError, UnknownArchitecture
from lure_core.models import zoo
from lure_core.rng import forked
from tests.lure_core.making import same

HUGE = {"regnet_y_128gf", "vit_h_14"}  # over 600 million parameters
SMALL = InputSpec(3, 32, 32)


def build(name: str, input: InputSpec = SMALL, *, seed: int = 1) -> nn.Module:
    return models.build(name, classes=7, input=input, seed=seed).eval()


def noise(*shape: int) -> Tensor:
    with forked(0):
        return torch.randn(*shape)


def test_the_names_are_torchvisions() -> None:
    assert sorted(zoo.NAMES) == torchvision.models.list_models(module=torchvision.models)


def test_torchvision_is_loaded_by_its_own_models_alone() -> None:
    program = (
        "import sys; from lure_core import models; from lure_core.config import InputSpec\n"
        "models.known(); models.require('vit_b_16', input=InputSpec(3, 32, 32), allowed=())\n"
        "models.build('vgg11_bn', classes=2, input=InputSpec(3, 8, 8), seed=0)\n"
        "assert 'torchvision' not in sys.modules\n"
        "models.build('squeezenet1_1', classes=2, input=InputSpec(3, 32, 32), seed=0)\n"
        "assert 'torchvision' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("densenet121", "classifier"),
        ("efficientnet_b0", "classifier.1"),
        ("googlenet", "fc"),
        ("mnasnet0_5", "classifier.1"),
        ("mobilenet_v3_small", "classifier.3"),
        ("regnet_y_400mf", "fc"),
        ("shufflenet_v2_x0_5", "fc"),
        ("squeezenet1_1", "classifier.1"),
    ],
)
def test_a_model_of_each_family_takes_grey_images(name: str, head: str) -> None:
    model = build(name, InputSpec(1, 32, 40))
    assert model(torch.zeros(2, 1, 32, 40)).shape == (2, 7)
    assert models.head(model)[0] == head
    stage = models.last_stage(model)
    assert stage
    assert not any(parameter.startswith(head) for parameter in stage)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*zoo.NAMES} - {*models.known()} - HUGE))
def test_every_model_takes_images_of_its_size(name: str) -> None:
    spec = InputSpec(1, 224, 224)
    model = build(name, spec)
    with torch.inference_mode():
        assert model(torch.zeros(1, 1, 224, 224)).shape == (1, 7)


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "resnet34"])
def test_a_seed_is_a_model(name: str) -> None:
    one, again, other = (build(name, seed=seed).state_dict() for seed in (4, 4, 5))
    assert same(one, again)
    assert not same(one, other)


def test_grey_is_what_all_three_colours_would_be() -> None:
    grey, colour = build("squeezenet1_1", InputSpec(1, 32, 32)), build("squeezenet1_1")
    x = noise(2, 1, 32, 32)
    assert torch.allclose(grey(x), colour(x.expand(2, 3, 32, 32)), atol=1e-5)


def test_a_residual_net_has_the_stem_of_its_images() -> None:
    small, large = build("resnet34", InputSpec(1, 64, 64)), build("resnet34", InputSpec(3, 65, 8))
    assert small.get_parameter("conv1.weight").shape == (64, 1, 3, 3)
    assert isinstance(small.get_submodule("maxpool"), nn.Identity)
    assert large.get_parameter("conv1.weight").shape == (64, 3, 7, 7)
    assert isinstance(large.get_submodule("maxpool"), nn.MaxPool2d)
    rest = large.state_dict()
    assert {n for n, v in small.state_dict().items() if v.shape != rest[n].shape} == {
        "conv1.weight"
    }
    stem = build("resnet34").get_parameter("conv1.weight").detach()
    assert float(stem.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_resnet18_above_64_px_is_torchvisions() -> None:
    assert build("resnet18", InputSpec(3, 64, 64)).get_parameter("conv1.weight").shape[2:] == (3, 3)
    ours = build("resnet18", InputSpec(3, 64, 72), seed=9)
    with forked(9):
        theirs = torchvision.models.resnet18(num_classes=7)
    assert same(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(("depth", "side"), [(11, 8), (16, 9), (19, 64)])
def test_a_small_vgg_is_torchvisions_convolutions_and_one_layer(depth: int, side: int) -> None:
    model = build(f"vgg{depth}_bn", InputSpec(1, side, side))
    assert model(torch.zeros(2, 1, side, side)).shape == (2, 7)
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"vgg{depth}_bn").features.state_dict()
    ours = model.get_submodule("features").state_dict()
    theirs["0.weight"] = theirs["0.weight"][:, :1]
    assert {n: v.shape for n, v in ours.items()} == {n: v.shape for n, v in theirs.items()}
    assert models.head(model)[1].weight.shape == (7, 512)


def test_a_small_vgg_computes_what_torchvisions_does_before_the_head() -> None:
    ours = build("vgg11_bn", InputSpec(3, 64, 64)).get_submodule("features")
    with torch.device("meta"):
        theirs = torchvision.models.vgg11_bn().features
    theirs = theirs.to_empty(device="cpu").eval()
    theirs.load_state_dict(ours.state_dict())
    x = noise(2, 3, 64, 64)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("name", "height", "width", "words"),
    [
        ("vit_b_16", 28, 28, "vit_b_16 takes square images whose side is a multiple of 16 pixels"),
        ("vit_b_32", 64, 32, "multiple of 32 pixels, not 64x32"),
        ("vit_h_14", 32, 32, "multiple of 14"),
        ("maxvit_t", 224, 32, "sides that are multiples of 224 pixels"),
        ("inception_v3", 299, 74, "sides of at least 75 pixels, not 299x74"),
        ("vgg11", 31, 99, "at least 32"),
        ("vgg11_bn", 31, 99, "at least 32"),
        ("alexnet", 62, 62, "at least 63"),
        ("convnext_tiny", 31, 31, "at least 32"),
        ("densenet121", 28, 28, "at least 29"),
        ("googlenet", 14, 14, "at least 15"),
        ("squeezenet1_0", 20, 20, "at least 21"),
        ("squeezenet1_1", 16, 16, "at least 17"),
    ],
)
def test_images_that_do_not_fit_are_refused_before_anything_is_built(
    name: str, height: int, width: int, words: str
) -> None:
    spec = InputSpec(3, height, width)
    for refuse in (models.require, lambda n, input: build(n, input)):
        with pytest.raises(ConfigError, match=f"architecture: .*{words}"):
            refuse(name, input=spec)
    models.require(name)


@pytest.mark.parametrize(
    ("name", "side"),
    [("googlenet", 15), ("squeezenet1_1", 17), ("squeezenet1_0", 21), ("densenet121", 29)],
)
def test_the_smallest_side_is_taken(name: str, side: int) -> None:
    assert build(name, InputSpec(3, side, side))(torch.zeros(1, 3, side, side)).shape == (1, 7)


def test_a_squeezenets_head_grows() -> None:
    model, fresh = (
        build("squeezenet1_1"),
        models.build("squeezenet1_1", classes=9, input=SMALL, seed=2),
    )
    x = noise(2, 3, 32, 32)
    before = model(x)
    models.grow_head(model, fresh)
    assert torch.equal(model(x)[:, :7], before)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("resnet20", "resnet20s"),
        ("vit_b16", "vit_b_16"),
        ("efficientnet-b0", "efficientnet_b0"),
        ("wide_resnet50", "wide_resnet50_2"),
        ("MLP", "mlp"),
    ],
)
def test_an_unknown_name_lists_the_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(UnknownArchitecture, match=near) as caught:
        models.require(wrong)
    assert near in caught.value.near
