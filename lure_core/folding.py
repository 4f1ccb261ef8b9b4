"""BatchNorm folded into the convolution before it: the same function in fewer steps.

For answering only. What is folded is found by watching one answer, so it works for any module,
and what cannot be folded stays as it is.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_CLOSE = 1e-3
"""Most that a folded model's logits may differ, in shares of the largest one.

Rounding alone makes 1e-6 of it; a model in which the convolution's own output is used elsewhere
differs by a multiple.
"""

Breath = Callable[[], None]
"""Called between two steps of a work; may take its time, so that others get theirs."""

_NORM = ("running_mean", "running_var", "weight", "bias")

log = logging.getLogger(__name__)


def go_on() -> None:
    """Whoever has nobody to give way to needs no breath."""


@dataclass(frozen=True)
class Folded:
    """A model in evaluation mode without the BatchNorms that could be folded.

    Attributes:
        module: What answers.
        pairs: Name of each convolution that took a BatchNorm in, the BatchNorm's name, its eps.
    """

    module: nn.Module
    pairs: tuple[tuple[str, str, float], ...]

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], breathe: Breath = go_on) -> None:
        """Replace all weights by those of a whole, unfolded model.

        Args:
            weights: By their names in that model.
            breathe: Called between two tensors.

        Raises:
            RuntimeError: They are not those of such a model; some may be replaced.
        """
        left = dict(weights)
        for conv, norm, eps in self.pairs:
            _fold(left, conv, norm, eps)
            breathe()
        own = self.module.state_dict(keep_vars=True)
        if _shapes(left) != _shapes(own):
            self.module.load_state_dict(left, strict=True)  # finds the words
        for name, tensor in own.items():
            tensor.copy_(left[name])
            breathe()


def fold(model: nn.Module, x_NCHW: Tensor) -> Folded:
    """Fold what can be folded, so far as the answer to these images stays the same.

    Args:
        model: In evaluation mode, with sensible weights; it is used up.
        x_NCHW: Two images at least.
    """
    try:
        folded = _without_norms(copy.deepcopy(model), x_NCHW)
        folded.load(model.state_dict())
        if _agree(folded.module, model, x_NCHW):
            return folded
        log.info("the BatchNorms of a model stay: without them it answers otherwise")
    except Exception:  # whatever a user's own model may raise: unfolded it answers as well
        log.info("the BatchNorms of a model stay: it cannot be taken apart", exc_info=True)
    return Folded(model, ())


def _without_norms(model: nn.Module, x_NCHW: Tensor) -> Folded:
    pairs = _pairs(model, x_NCHW)
    names = {module: name for name, module in model.named_modules()}
    found = []
    for conv, norm in pairs:
        found.append((names[conv], names[norm], norm.eps))
        model.set_submodule(names[norm], nn.Identity())
        if conv.bias is None:
            conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels))
    return Folded(model, tuple(found))


@torch.inference_mode()
def _pairs(model: nn.Module, x_NCHW: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each convolution and the BatchNorm that took its very output, both called only once."""
    calls: Counter[nn.Module] = Counter()
    made: list[tuple[Tensor, nn.Conv2d]] = []  # outputs are kept, or their ids would come again
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after_conv(conv: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        calls[conv] += 1
        made.append((output, conv))

    def before_norm(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        calls[norm] += 1
        pairs.extend((conv, norm) for output, conv in made if output is args[0])

    with ExitStack() as hooks:
        for module in model.modules():
            # these very types: what is parametrised is of a type of its own
            if type(module) is nn.Conv2d and "weight" in module._parameters:
                hooks.callback(module.register_forward_hook(after_conv).remove)
            elif type(module) is nn.BatchNorm2d and module.track_running_stats and module.affine:
                hooks.callback(module.register_forward_pre_hook(before_norm).remove)
        model(x_NCHW)
    return [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]


def _fold(weights: dict[str, Tensor], conv: str, norm: str, eps: float) -> None:
    """Replace the weights of a convolution and its BatchNorm by those of the convolution alone."""
    try:
        weights.pop(f"{norm}.num_batches_tracked")
        mean, var, scale, shift = (weights.pop(f"{norm}.{name}") for name in _NORM)
        kernel = weights[f"{conv}.weight"]
    except KeyError as missing:
        raise RuntimeError(f"there is no {missing}") from missing
    if {part.shape for part in (mean, var, scale, shift)} != {kernel.shape[:1]}:
        raise RuntimeError(f"{norm} is not of {len(kernel)} channels")
    factor = scale * torch.rsqrt(var + eps)
    bias = weights.get(f"{conv}.bias", 0.0)
    weights[f"{conv}.weight"] = kernel * factor.view(-1, 1, 1, 1)
    weights[f"{conv}.bias"] = (bias - mean) * factor + shift


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


@torch.inference_mode()
def _agree(one: nn.Module, other: nn.Module, x_NCHW: Tensor) -> bool:
    """On all images together, and on the first alone."""
    return all(_differ(one(x), other(x)) < _CLOSE for x in (x_NCHW, x_NCHW[:1]))


def _differ(one: Tensor, other: Tensor) -> float:
    """Largest difference, in shares of the largest value; no number where they hold such."""
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-6))
