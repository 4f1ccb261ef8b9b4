"""SNIP saliency (Lee et al. 2019, arXiv 1810.02340) and the choice of the least salient weights.

Pure: nothing here changes the model.
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


def weight_names(model: nn.Module) -> list[str]:
    """Convolution and linear weights: no bias, no BatchNorm; a shared weight once."""
    own = {id(m.weight) for m in model.modules() if isinstance(m, _WEIGHTED)}
    return [name for name, parameter in model.named_parameters() if id(parameter) in own]


def saliency(
    model: nn.Module, batches: Batches, *, names: Sequence[str], how: str, training: bool = False
) -> Scores:
    """|w · ∂L/∂w| for every weight of the parameters named, in float32.

    Args:
        model: Scored as it stands.
        batches: The images that the loss L is taken on (cross-entropy).
        names: Parameters to score.
        how: "sum" adds the signed gradients of all images, then takes |g·w|, the original SNIP;
            "abs_batch" adds |g| of each batch's mean loss; "abs_sample" adds |g| of each image
            (one backward pass an image: slow).
        training: Let BatchNorm use each batch's own statistics, as the published code does.
    """
    parameters = [model.get_parameter(name) for name in names]
    totals = [torch.zeros_like(parameter) for parameter in parameters]
    with _frozen(model, training=training):
        for x, labels in batches.sized(1) if how == "abs_sample" else batches:
            loss = F.cross_entropy(model(x), labels, reduction="sum" if how == "sum" else "mean")
            gradients = torch.autograd.grad(
                loss, parameters, allow_unused=True, materialize_grads=True
            )
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient if how == "sum" else gradient.abs()
    with torch.no_grad():
        scores = [(t * w).abs() for t, w in zip(totals, parameters, strict=True)]
    return dict(zip(names, scores, strict=True))


def lowest(scores: Scores, count: int, generator: Generator) -> Chosen:
    """Exactly `count` of the lowest scores; among equals at the border the draw is random.

    A score that is no number counts as 0: a weight without a gradient is not worth keeping.
    """
    flat = torch.cat([s.flatten() for s in scores.values()]).nan_to_num(nan=0.0).cpu()
    assert 0 <= count <= len(flat)
    if count == 0:
        return _none(scores)
    threshold = flat.kthvalue(count).values
    chosen = flat < threshold
    ties = (flat == threshold).nonzero().flatten()
    drawn = torch.randperm(len(ties), generator=generator)[: count - int(chosen.sum())]
    chosen[ties[drawn]] = True
    return Chosen(_unflatten(chosen, scores), float(threshold), len(ties))


def official(scores: Scores, fraction: float) -> Chosen:
    """The published pruner's choice: every score up to the k-th lowest, all its ties included.

    Biases and BatchNorm are among the scores; k is rounded down.
    """
    flat = torch.cat([s.flatten() for s in scores.values()]).cpu()
    k = math.floor(fraction * len(flat))
    if k == 0:
        return _none(scores)
    threshold = flat.kthvalue(k).values
    chosen = flat <= threshold
    ties = int((flat == threshold).sum())
    return Chosen(_unflatten(chosen, scores), float(threshold), ties)


def _none(scores: Scores) -> Chosen:
    masks = {name: torch.zeros_like(s, dtype=torch.bool) for name, s in scores.items()}
    return Chosen(masks, threshold=None, ties=0)


def _unflatten(flat: Tensor, like: Scores) -> dict[str, Tensor]:
    pieces = flat.split_with_sizes([score.numel() for score in like.values()])
    return {
        name: piece.view(score.shape).to(score.device)
        for piece, (name, score) in zip(pieces, like.items(), strict=True)
    }


@contextmanager
def _frozen(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Mode and buffers (BatchNorm's running statistics) come back as they were."""
    was_training = model.training
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train(training)
    try:
        yield
    finally:
        model.train(was_training)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
