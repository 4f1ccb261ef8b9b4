"""1,797 handwritten digits of 8 px, packaged: grey values 0…16, kept as multiples of 15.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998,
doi:10.24432/C50P49 (CC BY 4.0), the test set, as scikit-learn's `load_digits` gives it.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch

from lure_core.config import InputSpec
from lure_core.experiment.datasets.source import Source, reader


def load() -> Source:
    """All digits; none is set apart for testing."""
    with files("lure_core.experiment").joinpath("digits.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        images = torch.from_numpy(arrays["images"])[:, None]
        labels = torch.from_numpy(arrays["labels"]).long()
    classes = tuple(str(digit) for digit in range(10))
    return Source("digits", classes, InputSpec(1, 8, 8), labels, reader(images))
