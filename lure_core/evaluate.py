"""How good a model is on images it has not learned from.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lure_core.data import Batches
from lure_core.precision import Precision
from lure_core.types import Metrics

ECE_BINS = 15


@torch.inference_mode()
def probabilities(model: nn.Module, batches: Batches, *, precision: Precision) -> Tensor:
    """Softmax outputs, float32 [N, K], in one pass; the model comes back in evaluation mode."""
    model.eval()
    outputs = []
    for x, _ in batches:
        with precision.autocast():
            logits = model(precision.arrange(x))
        outputs.append(logits.float().softmax(dim=1))
    return torch.cat(outputs)


def score(
    model: nn.Module, batches: Batches, *, classes: Sequence[str], precision: Precision
) -> Metrics:
    """All figures of a model on the batches."""
    if not len(batches.samples):
        return Metrics(0.0, dict.fromkeys(classes), ece=0.0, images=0, correct=0)
    output = probabilities(model, batches, precision=precision)
    return metrics(output, batches.samples.labels, classes=classes)


def metrics(probabilities_NK: Tensor, labels_N: Tensor, *, classes: Sequence[str]) -> Metrics:
    """Accuracy, accuracy by class and calibration of given answers."""
    confidence, answer = probabilities_NK.max(dim=1)
    right = answer == labels_N
    images = torch.bincount(labels_N, minlength=len(classes)).tolist()
    rights = torch.bincount(labels_N[right], minlength=len(classes)).tolist()
    return Metrics(
        accuracy=sum(rights) / len(labels_N),
        per_class={
            name: hit / seen if seen else None
            for name, hit, seen in zip(classes, rights, images, strict=True)
        },
        ece=calibration_error(confidence, right),
        images=len(labels_N),
        correct=sum(rights),
    )


def calibration_error(confidence_N: Tensor, right_N: Tensor, bins: int = ECE_BINS) -> float:
    """Expected calibration error (Guo et al. 2017): |confidence - accuracy|, averaged over bins.

    The bins have equal width, are open below and closed above, and weigh by their images.
    """
    confidence = confidence_N.cpu().double()  # in this order: mps has no float64
    right = right_N.cpu().double()
    bin_N = (confidence * bins).ceil().long().sub_(1).clamp_(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_N, confidence - right)
    return float(gap.abs().sum() / len(confidence))
