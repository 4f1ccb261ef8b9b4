"""Wrong labels, an exact share of them."""

from __future__ import annotations

from dataclasses import replace

import torch

from lure_core.data import Samples
from lure_core.rng import derive_seed, generator
from lure_core.types import Split


def wrong_labels(samples: Samples, share: float, *, classes: int, seed: int) -> Samples:
    """Give round(share·n) of the training and of the select images another class.

    The other class is drawn evenly from the rest. Which images are hit and what they become
    depends on `seed` alone: a greater share hits those of a smaller one too, in the same way.
    """
    labels = samples.labels.clone()
    for split in (Split.TRAIN, Split.SELECT):
        rows = (samples.splits == int(split)).nonzero().flatten()
        draws = generator(derive_seed(seed, int(split), "wrong labels"))
        order = torch.randperm(len(rows), generator=draws)
        shift = torch.randint(1, max(2, classes), (len(rows),), generator=draws)
        hit = order[: round(share * len(rows))]
        labels[rows[hit]] = (labels[rows[hit]] + shift[hit]) % classes
    return replace(samples, labels=labels)
