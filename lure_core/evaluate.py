"""How good a model is on images it has not learned from.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lure_core.answers import Answers
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


def answers(
    model: nn.Module, batches: Batches, *, precision: Precision, names: Sequence[str] = ("",)
) -> Answers:
    """What the model answers; `names`: of the chunks whose lengths are the batches' `parts`."""
    output = torch.empty(0, 1)
    if len(batches.samples):
        output = probabilities(model, batches, precision=precision).cpu()
    labels = batches.samples.labels.cpu().numpy()
    return Answers.of(output.numpy(), labels, names=names, lengths=batches.parts)


def metrics(answers: Answers, *, classes: Sequence[str]) -> Metrics:
    """Accuracy, accuracy by class and calibration of given answers."""
    if not len(answers):
        return Metrics(0.0, dict.fromkeys(classes), ece=0.0, images=0, correct=0)
    right = answers.right_N
    images = np.bincount(answers.label_N, minlength=len(classes)).tolist()
    rights = np.bincount(answers.label_N[right], minlength=len(classes)).tolist()
    return Metrics(
        accuracy=sum(rights) / len(answers),
        per_class={
            name: hit / seen if seen else None
            for name, hit, seen in zip(classes, rights, images, strict=True)
        },
        ece=calibration_error(torch.from_numpy(answers.confidence_N), torch.from_numpy(right)),
        images=len(answers),
        correct=sum(rights),
    )
