"""BatchNorm folded into convolutions: the same answers, for any module, or nothing is folded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lure_core import models
from lure_core.config import InputSpec
from lure_core.folding import fold
from lure_core.rng import forked, generator


def experienced(model: nn.Module) -> nn.Module:
    """As after a training: no BatchNorm is what it was at first."""
    draws = generator(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = torch.randn(module.num_features, generator=draws)
                module.running_var = torch.rand(module.num_features, generator=draws) + 0.1
                module.weight.copy_(torch.randn(module.num_features, generator=draws))
                module.bias.copy_(torch.randn(module.num_features, generator=draws))
    return model.eval()


def images(count: int, side: int = 8) -> Tensor:
    return torch.randn(count, 3, side, side, generator=generator(2))


def built(architecture: str, *, side: int = 8, seed: int = 0) -> nn.Module:
    spec = InputSpec(3, side, side)
    return experienced(models.build(architecture, classes=5, input=spec, seed=seed))


@torch.inference_mode()
def answers_of(model: nn.Module, x_NCHW: Tensor) -> Tensor:
    logits: Tensor = model(x_NCHW)
    return logits


@pytest.mark.parametrize(
    ("architecture", "side", "pairs"),
    [
        ("resnet20s", 8, 19),
        ("resnet18", 8, 20),
        ("vgg11_bn", 32, 8),
        ("mobilenet_v2", 32, 52),
        ("mlp", 8, 0),
    ],
)
def test_a_folded_model_answers_alike_with_any_weights(
    architecture: str, side: int, pairs: int
) -> None:
    folded = fold(built(architecture, side=side), images(2, side))
    assert len(folded.pairs) == pairs
    for seed in (1, 2):
        other = built(architecture, side=side, seed=seed)
        folded.load(other.state_dict())
        expected = answers_of(other, images(6, side))
        found = answers_of(folded.module, images(6, side))
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        assert torch.equal(found.argmax(dim=1), expected.argmax(dim=1))


class Block(nn.Module):
    """A convolution and its BatchNorm, used in ways that forbid to fold them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 5)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out = self.conv(x_NCHW)
        if self.way == "its output is used elsewhere":
            out = self.norm(out) + out
        elif self.way == "it is called twice":
            out = self.norm(self.conv(self.norm(out)))
        elif self.way == "something lies between":
            out = self.norm(out.relu())
        elif self.way == "only for many images":
            out = self.norm(out) if len(x_NCHW) > 1 else self.norm(out * 2)
        logits: Tensor = self.fc(out.mean(dim=(2, 3)))
        return logits


@pytest.mark.parametrize(
    "way",
    [
        "its output is used elsewhere",
        "it is called twice",
        "something lies between",
        "only for many images",
    ],
)
def test_what_cannot_be_folded_stays(way: str) -> None:
    with forked(0):
        model, other = experienced(Block(way)), experienced(Block(way))
    folded = fold(model, images(2))
    assert folded.pairs == ()
    folded.load(other.state_dict())
    assert torch.equal(answers_of(folded.module, images(3)), answers_of(other, images(3)))


def test_a_model_that_refuses_to_be_copied_stays() -> None:
    class Stubborn(Block):
        def __deepcopy__(self, memo: object) -> Stubborn:
            raise PermissionError("no")

    with forked(0):
        model = Stubborn("plain")
    assert fold(experienced(model), images(2)).pairs == ()


@pytest.mark.parametrize("change", ["missing", "too many", "another shape"])
def test_weights_of_another_model_are_refused(change: str) -> None:
    folded = fold(built("resnet20s"), images(2))
    weights = built("resnet20s").state_dict()
    if change == "missing":
        del weights["bn1.running_mean"]
    elif change == "too many":
        weights["more"] = torch.zeros(1)
    else:
        weights["bn1.weight"] = torch.ones(1)
    with pytest.raises(RuntimeError):
        folded.load(weights)
