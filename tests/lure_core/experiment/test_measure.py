"""What a record tells beside the cycle's own figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lure_core import precision
from lure_core.config import Normalisation
from lure_core.data import Samples
from lure_core.experiment import measure


def packed(*bits: int) -> np.ndarray:
    return np.packbits(np.array(bits, dtype=np.uint8))


def test_overlap_is_the_share_of_this_reset_that_was_in_the_last() -> None:
    now, before = packed(1, 1, 1, 1, 0, 0, 0, 0, 0, 0), packed(1, 0, 0, 0, 1, 1, 1, 0, 1, 0)
    assert measure.overlap(now, before, counted=10) == (1 / 4, 5 / 10)
    assert measure.overlap(before, now, counted=10) == (1 / 5, 4 / 10)


def test_the_same_weights_overlap_wholly() -> None:
    now = packed(1, 0, 1)
    assert measure.overlap(now, now, counted=3) == (1.0, pytest.approx(2 / 3))


def test_a_sure_answers_logits_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far below what the logarithm of a float32 probability can tell."""
    output = torch.tensor([[0.0, -500.0, -900.0]])
    monkeypatch.setattr(measure.evaluate, "logits", lambda *_, **__: output)
    samples = Samples(
        torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.tensor([0]), torch.tensor([2])
    )
    chosen = precision.serving(torch.device("cpu"))
    served = torch.nn.Identity(), Normalisation((0.5,), (0.5,)), chosen
    found, labels = measure._logits(served, samples)
    assert torch.equal(found, output)
    assert labels.tolist() == [0]
