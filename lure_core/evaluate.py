"""How good a model is on images it has not learned from.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lure_core.calibration import calibration_error
from lure_core.data import Batches
from lure_core.precision import Precision
from lure_core.types import Metrics


@torch.inference_mode()
def logits(model: nn.Module, batches: Batches, *, precision: Precision) -> Tensor:
    """Outputs, float32 [N, K], in one pass; the model comes back in evaluation mode."""
    model.eval()
    outputs = []
    for x, _ in batches:
        with precision.autocast():
            outputs.append(model(precision.arrange(x)).float())
    return torch.cat(outputs)


@torch.inference_mode()
def probabilities(model: nn.Module, batches: Batches, *, precision: Precision) -> Tensor:
    """Softmax of the `logits`."""
    return logits(model, batches, precision=precision).softmax(dim=1)


def losses(model: nn.Module, batches: Batches, *, precision: Precision) -> Tensor:
    """Cross-entropy of each image, float32 [N]."""
    if not len(batches.samples):
        return torch.empty(0)
    output = logits(model, batches, precision=precision)
    return F.cross_entropy(output, batches.samples.labels.to(output.device), reduction="none")


def score(
    model: nn.Module, batches: Batches, *, classes: Sequence[str], precision: Precision
) -> Metrics:
    """All figures of a model on the batches; it may know only the first of the classes."""
    if not len(batches.samples):
        return Metrics(0.0, dict.fromkeys(classes), ece=0.0, images=0, correct=0)
    output = probabilities(model, batches, precision=precision)
    output = F.pad(output, (0, len(classes) - output.shape[1]))
    return metrics(output, batches.samples.labels.to(output.device), classes=classes)


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
