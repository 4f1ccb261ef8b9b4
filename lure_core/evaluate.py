"""How good a model is on images it has not learned from.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lure_core.answers import Answers
from lure_core.calibration import calibration_error
from lure_core.data import Batches
from lure_core.parallel import ALONE, World
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
    model: nn.Module,
    batches: Batches,
    *,
    precision: Precision,
    names: Sequence[str] = ("",),
    among: World = ALONE,
) -> Answers:
    """What the model answers.

    Args:
        model: The same in every process.
        batches: Likewise.
        precision: What to compute in.
        names: Of the chunks whose lengths are the batches' `parts`.
        among: The processes that share the work, each some of the batches; all have all answers.
    """
    mine = batches.images_of(among.part(len(batches)))
    rows = torch.arange(mine.start, mine.stop, device=batches.samples.labels.device)
    own = batches if among.size == 1 else batches.take(rows)
    output = torch.empty(0, 1)
    if len(own.samples):
        output = probabilities(model, own, precision=precision).cpu()
    labels = own.samples.labels.cpu().numpy()
    if among.size == 1:
        return Answers.of(output.numpy(), labels, names=names, lengths=batches.parts)
    return _joined(Answers.of(output.numpy(), labels), mine, batches, names=names, among=among)


def _joined(
    own: Answers, at: slice, batches: Batches, *, names: Sequence[str], among: World
) -> Answers:
    """The answers of all processes, from this one's and where they lie among all."""
    labels_N = batches.samples.labels.cpu()
    answer_N, confidence_N = torch.zeros_like(labels_N), torch.zeros(len(labels_N))
    answer_N[at] = torch.from_numpy(own.answer_N)
    confidence_N[at] = torch.from_numpy(own.confidence_N)
    among.add(answer_N)
    among.add(confidence_N)
    nothing = np.zeros((len(labels_N), 1), dtype=np.float32)
    frame = Answers.of(nothing, labels_N.numpy(), names=names, lengths=batches.parts)
    return replace(frame, answer_N=answer_N.numpy(), confidence_N=confidence_N.numpy())


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
