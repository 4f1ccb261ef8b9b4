from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from lure_core.experiment.datasets import digits


def test_the_packaged_digits_are_scikit_learns_with_nothing_lost() -> None:
    source, original = digits.load(), load_digits()
    pixels = source.read(torch.arange(len(source.labels)))[:, 0].numpy()
    np.testing.assert_array_equal(pixels / 15, original.images)
    np.testing.assert_array_equal(source.labels.numpy(), original.target)
