"""What a record tells beside the cycle's own figures."""

from __future__ import annotations

import pytest
import torch

from lure_core import precision
from lure_core.config import Normalisation
from lure_core.data import Samples
from lure_core.experiment import measure


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
