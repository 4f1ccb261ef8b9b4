"""Metrics against figures worked out by hand."""

from __future__ import annotations

import pytest
import torch

from lure_core import evaluate
from lure_core.answers import Answers
from lure_core.precision import choose
from tests.lure_core.making import create_batches, create_net

FP32 = choose("fp32", device=torch.device("cpu"), flops=0)


def of(probabilities: torch.Tensor, labels: torch.Tensor) -> Answers:
    return Answers.of(probabilities.numpy(), labels.numpy())


def test_metrics_of_five_answers() -> None:
    """Bins of a fifteenth: 0.62 and 0.66 share (0.6, 0.667]; 0.9 and 0.93 share (0.867, 0.933].

    |(0.62 - 1) + (0.66 - 0)| = 0.28, |0.55 - 1| = 0.45 and |(0.9 - 1) + (0.93 - 1)| = 0.17 over
    five images: 0.18.
    """
    answers = torch.tensor([[0.62, 0.38], [0.66, 0.34], [0.45, 0.55], [0.9, 0.1], [0.07, 0.93]])
    labels = torch.tensor([0, 1, 1, 0, 1])
    found = evaluate.metrics(of(answers, labels), classes=("x", "y"))
    assert (found.images, found.correct, found.accuracy) == (5, 4, 0.8)
    assert found.per_class == {"x": 1.0, "y": pytest.approx(2 / 3)}
    assert found.ece == pytest.approx((0.28 + 0.45 + 0.17) / 5)


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    certain = torch.tensor([[1.0, 0.0]])
    assert evaluate.metrics(of(certain, torch.tensor([0])), classes=("x", "y")).ece == 0
    assert evaluate.metrics(of(certain, torch.tensor([1])), classes=("x", "y")).ece == 1


def test_a_class_without_images_has_no_accuracy() -> None:
    found = evaluate.metrics(of(torch.tensor([[0.6, 0.4]]), torch.tensor([0])), classes="xy")
    assert found.per_class == {"x": 1.0, "y": None}


def test_nothing_to_judge_is_no_error() -> None:
    found = evaluate.metrics(
        evaluate.answers(create_net(), create_batches(0), precision=FP32), classes="abc"
    )
    assert (found.images, found.accuracy, found.ece) == (0, 0.0, 0.0)


def test_batches_do_not_matter() -> None:
    net, batches = create_net(), create_batches(33)
    one = evaluate.probabilities(net, batches.sized(1), precision=FP32)
    all_at_once = evaluate.probabilities(net, batches.sized(64), precision=FP32)
    assert torch.allclose(one, all_at_once, atol=1e-5)
    assert torch.allclose(one.sum(dim=1), torch.ones(33), atol=1e-5)
