"""Where a model ends: its classifier layer, the stage before it, and how the classes grow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import repeat, takewhile

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lure_core.errors import ConfigError

_Head = nn.Linear | nn.Conv2d
_STAGE = re.compile(r"layer\d+")


def head(model: nn.Module) -> tuple[str, _Head]:
    """Name and module of the classifier: the linear layer or 1x1 convolution registered last.

    Raises:
        ConfigError: The model has no such layer.
    """
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, nn.Linear):
            return name, module
        if isinstance(module, nn.Conv2d) and {*module.kernel_size, *module.stride} == {1}:
            return name, module
    raise ConfigError(
        f"architecture: {type(model).__name__} has no classifier (nn.Linear or 1x1 nn.Conv2d)"
    )


def last_stage(model: nn.Module) -> list[str]:
    """Names of the parameters of the last stage before the head, its normalisation too.

    A residual network's is its last `layerN`. Elsewhere it is the last quarter of the layers that
    have weight matrices (convolutions, linear layers, attention), in order of registration, and
    whatever lies between them and the head.
    """
    top = f"{head(model)[0]}."
    body = [n for n, _ in takewhile(lambda p: not p[0].startswith(top), model.named_parameters())]
    stages = [name for name, _ in model.named_children() if _STAGE.fullmatch(name)]
    if len(stages) > 1:
        return [name for name in body if name.startswith(f"{stages[-1]}.")]
    layers = [name for name in _matrices(model) if name in body]
    if not layers:
        return body
    first = layers[-max(1, round(len(layers) / 4))]
    return body[body.index(first) :]


def _matrices(model: nn.Module) -> list[str]:
    """Names of the weights of convolutions, linear layers and attention's joint projections."""
    names = []
    for prefix, module in model.named_modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            names.append(f"{prefix}.weight")
        elif isinstance(module, nn.MultiheadAttention):
            names.append(f"{prefix}.in_proj_weight")
    return names


def grow_head(model: nn.Module, fresh_model: nn.Module) -> None:
    """Give the model's head as many outputs as the fresh model's, in place.

    The old outputs keep their weights and, until they are trained, their logits bit for bit; the
    new ones take `fresh_model`'s. Call it before the optimiser is made: the head's parameters are
    new ones. With as many outputs as before nothing happens.

    Raises:
        ConfigError: The fresh model has fewer outputs, or differs in more than its head.
    """
    name, old = head(model)
    before, after = _shapes(model), _shapes(fresh_model)
    differing = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
    if not differing:
        return
    new = dict(fresh_model.named_modules()).get(name)
    its_own = {f"{name}.{n}" for n, _ in old.named_parameters()}
    alike = isinstance(new, _Head) and new.weight[0].shape == old.weight[0].shape
    if not alike or not differing <= its_own:
        raise ConfigError("classes: the architecture differs in more than its head, it cannot grow")
    assert isinstance(new, _Head)
    if len(new.weight) < len(old.weight):
        raise ConfigError(f"classes: {len(new.weight)} are fewer than the {len(old.weight)} before")
    if isinstance(old, nn.Linear):
        model.set_submodule(name, GrownLinear(old, new))
    else:
        model.set_submodule(name, GrownConv(old, new))


class GrownLinear(nn.Linear):
    """A linear layer that computes the outputs of each growth by themselves.

    Each is the same matrix product as before the growth. In one wide product the old outputs would
    differ in their last bits: BLAS picks its kernel, and with it the order of summation, by shape.
    (MKL on AVX2: two of five combinations of old and new numbers of outputs differ.) The names and
    shapes of the state are the plain layer's, and a version restored from it has the plain layer.
    """

    def __init__(self, old: nn.Linear, new: _Head) -> None:
        super().__init__(old.in_features, 1, old.bias is not None, device="meta")
        self.out_features, self.rows = _join(self, old, new)

    def forward(self, input: Tensor) -> Tensor:
        parts = [F.linear(input, weight, bias) for weight, bias in _split(self, self.rows)]
        return torch.cat(parts, dim=-1)


class GrownConv(nn.Conv2d):
    """A 1x1 convolution that computes the outputs of each growth by themselves."""

    def __init__(self, old: nn.Conv2d, new: _Head) -> None:
        super().__init__(old.in_channels, 1, 1, bias=old.bias is not None, device="meta")
        self.out_channels, self.rows = _join(self, old, new)

    def forward(self, input: Tensor) -> Tensor:
        parts = [F.conv2d(input, weight, bias) for weight, bias in _split(self, self.rows)]
        return torch.cat(parts, dim=1)


def _join(grown: _Head, old: _Head, new: _Head) -> tuple[int, list[int]]:
    """Fill the parameters: old rows, then new; gives their number, and how many each growth has."""
    grown.train(old.training)
    count = len(old.weight)
    for name, before in old.named_parameters():
        added = new.get_parameter(name).detach()[count:].to(before)
        grown.register_parameter(name, nn.Parameter(torch.cat([before.detach(), added])))
    total = len(grown.weight)
    return total, [*getattr(old, "rows", [count]), total - count]


def _split(grown: _Head, rows: list[int]) -> Iterator[tuple[Tensor, Tensor | None]]:
    biases = repeat(None) if grown.bias is None else torch.split(grown.bias, rows)
    return zip(torch.split(grown.weight, rows), biases, strict=False)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}
