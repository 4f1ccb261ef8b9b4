"""SNIP saliency (Lee et al. 2019, arXiv 1810.02340) and the choice of the weights to reset.

Pure: nothing here changes the model.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lure_core.data import Batches
from lure_core.modes import moded

Scores = dict[str, Tensor]
"""A score for each weight of the parameters named."""

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Chosen:
    """The weights to reset.

    Attributes:
        masks: True where a weight was chosen, by parameter name.
        threshold: The highest score chosen; None where none was.
        ties: How many weights had just that score, chosen or not.
    """

    masks: dict[str, Tensor]
    threshold: float | None
    ties: int


def weights(model: nn.Module) -> dict[str, nn.Module]:
    """The layer of every convolution and linear weight, by the weight's name.

    No bias, no normalisation, nothing frozen; a shared weight once. Attention's joint projections
    are linear weights too, though they are bare parameters of `nn.MultiheadAttention`.
    """
    owners: dict[int, nn.Module] = {}
    for module in model.modules():
        for weight in _weights_of(module):
            owners.setdefault(id(weight), module)
    named = model.named_parameters()
    return {n: owners[id(p)] for n, p in named if id(p) in owners and p.requires_grad}


def weight_names(model: nn.Module) -> list[str]:
    """Names of the convolution and linear weights, in the model's order."""
    return list(weights(model))


def layer_names(model: nn.Module) -> list[str]:
    """Names of all trained parameters of convolutions and linear layers, biases too."""
    layers = set(weights(model).values())
    own = {id(p) for layer in layers for p in layer.parameters(recurse=False)}
    return [n for n, p in model.named_parameters() if id(p) in own and p.requires_grad]


def _weights_of(module: nn.Module) -> list[Tensor]:
    if isinstance(module, nn.MultiheadAttention):
        parts = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        return [w for name in parts if (w := getattr(module, name)) is not None]
    return [module.weight] if isinstance(module, _WEIGHTED) else []


def placed(batches: Batches, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, each moved to the model's device and number format when its turn comes."""
    like = next(p for p in model.parameters() if p.is_floating_point())
    for x_NCHW, labels_N in batches:
        yield x_NCHW.to(like), labels_N.to(like.device)


def loss(logits: Tensor, labels: Tensor, *, reduction: str) -> Tensor:
    """Cross-entropy, in no less than float32."""
    return F.cross_entropy(wide(logits), labels, reduction=reduction)


def wide(values: Tensor) -> Tensor:
    """In no less than float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def saliency(
    model: nn.Module, batches: Batches, *, names: Sequence[str], how: str, training: bool = False
) -> Scores:
    """|w · ∂L/∂w| for every weight of the parameters named, in no less than float32.

    Args:
        model: Scored as it stands. In training mode its dropout draws from torch's generators:
            the caller forks them.
        batches: The images that the loss L is taken on (cross-entropy).
        names: Parameters to score.
        how: "sum" adds the signed gradients of all images, then takes |g·w|, the original SNIP;
            "abs_batch" adds |g| of each batch's mean loss; "abs_sample" adds |g| of each image
            (one backward pass an image: slow).
        training: Let BatchNorm use each batch's own statistics, as the published code does.
    """
    totals = gradients(model, batches, names=names, how=how, training=training)
    with torch.no_grad():
        return {name: (g * model.get_parameter(name)).abs() for name, g in totals.items()}


def gradients(
    model: nn.Module,
    batches: Batches,
    *,
    names: Sequence[str],
    how: str = "sum",
    training: bool = False,
) -> Scores:
    """∂L/∂w summed over all images in one of `saliency`'s ways, in no less than float32."""
    parameters = [model.get_parameter(name) for name in names]
    totals = [torch.zeros_like(wide(parameter.detach())) for parameter in parameters]
    with frozen(model, training=training):
        for x, labels in placed(batches.sized(1) if how == "abs_sample" else batches, model):
            value = loss(model(x), labels, reduction="sum" if how == "sum" else "mean")
            slopes = torch.autograd.grad(
                value, parameters, allow_unused=True, materialize_grads=True
            )
            for total, slope in zip(totals, slopes, strict=True):
                total += slope if how == "sum" else slope.abs()
    return dict(zip(names, totals, strict=True))


def lowest(scores: Scores, count: int, generator: Generator) -> Chosen:
    """Exactly `count` of the lowest scores; among equals at the border the draw is random.

    A score that is no number counts as 0: a weight without a gradient is not worth keeping.
    """
    flat = torch.cat([s.flatten() for s in scores.values()]).nan_to_num(nan=0.0).cpu()
    assert 0 <= count <= len(flat)
    if count == 0:
        return none(scores)
    threshold = flat.kthvalue(count).values
    chosen = flat < threshold
    ties = (flat == threshold).nonzero().flatten()
    drawn = torch.randperm(len(ties), generator=generator)[: count - int(chosen.sum())]
    chosen[ties[drawn]] = True
    return Chosen(_unflatten(chosen, scores), float(threshold), len(ties))


def by_chance(scores: Scores, count: int, generator: Generator) -> Chosen:
    """Exactly `count` of the weights scored, whatever their scores."""
    total = sum(score.numel() for score in scores.values())
    assert 0 <= count <= total
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[torch.randperm(total, generator=generator)[:count]] = True
    return Chosen(_unflatten(chosen, scores), threshold=None, ties=0)


def official(scores: Scores, fraction: float) -> Chosen:
    """The published pruner's choice: every score up to the k-th lowest, all its ties included.

    Biases and BatchNorm are among the scores; k is rounded down.
    """
    flat = torch.cat([s.flatten() for s in scores.values()]).cpu()
    k = math.floor(fraction * len(flat))
    if k == 0:
        return none(scores)
    threshold = flat.kthvalue(k).values
    chosen = flat <= threshold
    ties = int((flat == threshold).sum())
    return Chosen(_unflatten(chosen, scores), float(threshold), ties)


def none(scores: Scores) -> Chosen:
    """No weight at all."""
    masks = {name: torch.zeros_like(s, dtype=torch.bool) for name, s in scores.items()}
    return Chosen(masks, threshold=None, ties=0)


def _unflatten(flat: Tensor, like: Scores) -> dict[str, Tensor]:
    pieces = flat.split_with_sizes([score.numel() for score in like.values()])
    return {
        name: piece.view(score.shape).to(score.device)
        for piece, (name, score) in zip(pieces, like.items(), strict=True)
    }


@contextmanager
def frozen(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Modes and buffers (BatchNorm's running statistics) come back as they were."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with moded(model, training=training):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    buffer.copy_(buffers[name])
