"""How well a model holds on corrupted pictures and under attack.

Everything here takes a finished model, on its device and as it is served, and leaves it as it
was: weights, gradients and modes. Images are worked on a batch at a time. Each image is corrupted
and attacked from draws of its own, told by its place among the samples: the batches do not matter.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lure_core import calibration, corruptions, evaluate
from lure_core.config import Normalisation
from lure_core.corruptions import draws
from lure_core.data import Batches, Samples, normalise, spans
from lure_core.modes import moded
from lure_core.precision import Precision

Answer = Callable[[Tensor], Tensor]
"""Logits [N, K] of float images [N, C, H, W] on the raw scale of 0…255."""

BATCH_IMAGES, BATCH_VALUES = 128, 2**21
"""What is worked on at a time, at most: 128 RGB images of 32 px, 13 of 224 px."""


@dataclass(frozen=True)
class Attack:
    """Projected gradient descent in the L-infinity ball (Madry et al., arXiv 1706.06083).

    The defaults are PGD-20 at 8/255. Lengths are in grey levels, 1/255 of the raw pixel range.

    Attributes:
        epsilon: How far a pixel may move.
        step: How far it moves at a time.
        steps: How often.
    """

    epsilon: float = 8.0
    step: float = 2.0
    steps: int = 20


@dataclass(frozen=True, eq=False)
class Judged:
    """A model and what it is judged on.

    Attributes:
        model: Placed on `precision.device`.
        normalisation: That it was trained with.
        samples: Any roles; on any device.
        precision: What it answers in; as a rule `precision.serving(device)`.
    """

    model: nn.Module
    normalisation: Normalisation
    samples: Samples
    precision: Precision

    def parts(self) -> Iterator[tuple[range, Samples]]:
        """The samples a batch at a time, on the model's device, with their places."""
        values = max(1, self.samples.images[:1].numel())
        size = max(1, min(BATCH_IMAGES, BATCH_VALUES // values))
        for span in spans(len(self.samples), size):
            indices = range(span.start, span.stop)
            yield indices, self.samples.take(torch.tensor(indices)).to(self.precision.device)

    def answer(self, levels_NCHW: Tensor) -> Tensor:
        """Logits, float32 [N, K], of float images on the raw scale of 0…255."""
        x_NCHW = normalise(levels_NCHW.clone(), self.normalisation)
        with self.precision.autocast():
            logits: Tensor = self.model(self.precision.arrange(x_NCHW))
        return logits.float()


@dataclass(frozen=True)
class Figures:
    """A model on one set of images.

    Attributes:
        accuracy: Share of right answers, 0…1; 0.0 where there were no images.
        ece: Expected calibration error over 15 bins, 0…1.
    """

    accuracy: float
    ece: float


@dataclass(frozen=True)
class Corrupted:
    """A model on corrupted images.

    Attributes:
        families: Figures by family, one a severity, from 1.
    """

    families: dict[str, tuple[Figures, ...]]

    @property
    def accuracy(self) -> float:
        """Mean over families and severities."""
        return _mean(figures.accuracy for row in self.families.values() for figures in row)

    @property
    def error(self) -> float:
        """1 - accuracy: mCE without the division by AlexNet's errors (arXiv 1903.12261)."""
        return 1 - self.accuracy

    @property
    def ece(self) -> float:
        """Mean over families and severities."""
        return _mean(figures.ece for row in self.families.values() for figures in row)

    def to_dict(self) -> dict[str, Any]:
        """The means and, by family, the figures from severity 1 on."""
        families = {
            name: {
                "mean_accuracy": _mean(figures.accuracy for figures in row),
                "accuracy": [figures.accuracy for figures in row],
                "ece": [figures.ece for figures in row],
            }
            for name, row in self.families.items()
        }
        means = {"accuracy": self.accuracy, "error": self.error, "ece": self.ece}
        return {**means, "families": families}


def report(
    model: nn.Module,
    normalisation: Normalisation,
    samples: Samples,
    *,
    seed: int,
    precision: Precision,
) -> dict[str, Any]:
    """All there is to say about a model's robustness, as plain JSON.

    It costs 75 passes over corrupted images, and 20 forward and backward passes for the attack.

    Args:
        model: Placed on `precision.device`.
        normalisation: That it was trained with.
        samples: What it is judged on, on any device.
        seed: Of all corruptions and random starts: models are compared under the same seed.
        precision: What it answers in; as a rule `precision.serving(device)`.

    Returns:
        "images"; "seed"; "clean": accuracy and ece; "corruption": mean accuracy, error and ece,
        and "families" with accuracy and ece by severity; "pgd": accuracy, epsilon and step in
        grey levels, steps.
    """
    judged = Judged(model, normalisation, samples, precision)
    with moded(model, training=False):
        clean = _figures(judged, (part for _, part in judged.parts()))
    attack = Attack()
    return {
        "images": len(samples),
        "seed": seed,
        "clean": asdict(clean),
        "corruption": corruption_accuracy(judged, seed=seed).to_dict(),
        "pgd": {"accuracy": robust_accuracy(judged, seed=seed, attack=attack), **asdict(attack)},
    }


def corruption_accuracy(
    judged: Judged,
    *,
    seed: int,
    families: Sequence[str] = corruptions.FAMILIES,
    severities: Sequence[int] = corruptions.SEVERITIES,
) -> Corrupted:
    """The model on the images corrupted in every way at every severity.

    Raises:
        ConfigError: No such family or severity.
    """

    def corrupted(family: str, severity: int) -> Iterator[Samples]:
        for indices, part in judged.parts():
            images = corruptions.corrupt(part.images, family, severity, seed=seed, indices=indices)
            yield replace(part, images=images)

    with moded(judged.model, training=False):
        return Corrupted(
            {
                family: tuple(_figures(judged, corrupted(family, s)) for s in severities)
                for family in families
            }
        )


def robust_accuracy(judged: Judged, *, seed: int, attack: Attack = Attack()) -> float:
    """Share of images still answered rightly after the attack, 0…1; 0.0 without images."""
    right = 0
    with moded(judged.model, training=False):
        for indices, part in judged.parts():
            by = draws.generators(seed, "pgd", indices)
            attacked = pgd(judged.answer, part.images.float(), part.labels, by=by, attack=attack)
            with torch.inference_mode():
                right += int((judged.answer(attacked).argmax(dim=1) == part.labels).sum())
    return right / len(judged.samples) if len(judged.samples) else 0.0


def pgd(
    answer: Answer,
    levels_NCHW: Tensor,
    labels_N: Tensor,
    *,
    by: Sequence[Generator],
    attack: Attack = Attack(),
) -> Tensor:
    """The images moved, within the attack's reach and 0…255, to where the loss is large.

    Args:
        answer: The model; differentiable with respect to its images.
        levels_NCHW: Float images on the raw scale of 0…255.
        labels_N: The right answers.
        by: One generator an image, for the random start.
        attack: Its reach and steps.
    """
    low = (levels_NCHW - attack.epsilon).clamp(min=0)
    high = (levels_NCHW + attack.epsilon).clamp(max=255)
    start = 2 * draws.uniform(by, *levels_NCHW.shape[1:]).to(levels_NCHW.device) - 1
    moved = (levels_NCHW + attack.epsilon * start).clamp(low, high)
    for _ in range(attack.steps):
        climbed = moved + attack.step * _gradient(answer, moved, labels_N).sign()
        moved = climbed.clamp(low, high)
    return moved


def _gradient(answer: Answer, levels_NCHW: Tensor, labels_N: Tensor) -> Tensor:
    levels = levels_NCHW.detach().requires_grad_()
    with torch.enable_grad():
        logits = answer(levels)
        # A class that the model does not know is answered wrongly anyway: any direction will do.
        known = labels_N.clamp(max=logits.shape[1] - 1)
        loss = F.cross_entropy(logits, known, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, levels)
    return gradient


def _figures(judged: Judged, parts: Iterable[Samples]) -> Figures:
    if not len(judged.samples):
        return Figures(0.0, ece=0.0)
    confidences, rights = [], []
    for part in parts:
        batch = Batches(part, judged.normalisation, len(part))
        output = evaluate.probabilities(judged.model, batch, precision=judged.precision)
        confidence, answer = output.max(dim=1)
        confidences.append(confidence)
        rights.append(answer == part.labels)
    right = torch.cat(rights)
    ece = calibration.calibration_error(torch.cat(confidences), right)
    return Figures(int(right.sum()) / len(right), ece=ece)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0
