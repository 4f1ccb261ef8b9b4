"""One small model of each kind that a strategy must cope with, and how to apply a strategy."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lure_core import unlearn
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.rng import forked, generator
from lure_core.types import UnlearnReport
from tests.lure_core.making import SIDE, create_batches, create_net

CLASSES = 3
PIXELS = SIDE * SIDE


class TinyViT(nn.Module):
    """Patches, one attention layer (a joint projection as a bare parameter) and LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 12, kernel_size=4, stride=4)
        self.position = nn.Parameter(0.02 * torch.randn(4, 12))
        self.norm = nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, num_heads=2, batch_first=True)
        self.mixer = nn.Sequential(
            nn.LayerNorm(12), nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12)
        )
        self.last_norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        tokens = self.patches(x_NCHW).flatten(2).mT + self.position
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        tokens = tokens + self.mixer(tokens)
        logits: Tensor = self.head(self.last_norm(tokens).mean(dim=1))
        return logits


class Homemade(nn.Module):
    """A layer that nobody knows: bare parameters, a buffer, dropout, and one linear head."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(PIXELS, 10) / 8)
        self.gain = nn.Parameter(torch.ones(10))
        self.register_buffer("offset", torch.full((10,), 0.1))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        hidden = torch.relu(x_NCHW.flatten(1) @ self.basis + self.offset) * self.gain
        logits: Tensor = self.head(self.dropout(hidden))
        return logits


MODELS = ["resnet20s", "mlp", "vit", "homemade"]
STRATEGIES = [
    "warm",
    "scratch",
    "lure",
    "lure-official",
    "random-reset",
    "magnitude-reset",
    "shrink-perturb",
    "dash",
    "fire",
    "later-layers",
    "last-layer",
    "rescale",
    "auto",
]
RESETS = ["lure", "random-reset", "magnitude-reset"]


def create(kind: str, seed: int) -> nn.Module:
    own = {"vit": TinyViT, "homemade": Homemade}
    if kind not in own:
        return create_net(seed, kind)
    with forked(seed):
        return own[kind]()


@cache
def original(kind: str) -> nn.Module:
    """The version that is to forget: unlike the fresh one in every parameter. To be read only."""
    model = create(kind, 1)
    draws = generator(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=draws)
    return model


def old(kind: str) -> nn.Module:
    """A copy of the original, to be changed."""
    return copy.deepcopy(original(kind))


@cache
def fresh(kind: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Where new values come from. To be read only."""
    return create(kind, 2).to(dtype)


def probe(model: nn.Module) -> tuple[float, int]:
    """Spoils its copy, as a probe may; the loss tells the weights apart."""
    with torch.no_grad():
        loss = sum(float(p.double().abs().sum()) for p in model.parameters())
        for parameter in model.parameters():
            parameter.zero_()
    return loss, 1000


def forget(
    strategy: str,
    kind: str = "resnet20s",
    *,
    model: nn.Module | None = None,
    data: Batches | None = None,
    seed: int = 3,
    optimizer: torch.optim.Optimizer | None = None,
    **settings: Any,
) -> tuple[nn.Module, UnlearnReport]:
    """Apply a strategy to `old(kind)`, or to the model given."""
    model = model if model is not None else old(kind)
    chosen = unlearn.strategy(Unlearn.from_dict({"strategy": strategy, **settings}), probe)
    images = data if data is not None else create_batches(40)
    return model, chosen.apply(
        model, fresh(kind, next(model.parameters()).dtype), images, generator(seed), optimizer
    )


def differing(left: nn.Module, right: nn.Module) -> dict[str, Tensor]:
    """Where the parameters differ."""
    others = dict(right.named_parameters())
    return {name: (others[name] != own).detach() for name, own in left.named_parameters()}


def with_memory(model: nn.Module, kind: type[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(model.parameters(), lr=0.0, **options)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer
