"""The images that a strategy looks at: π in the paper."""

from __future__ import annotations

from torch import Generator

from lure_core.config import Unlearn
from lure_core.data import Batches, stratified


def draw(data: Batches, settings: Unlearn, generator: Generator) -> Batches:
    """A stratified share of the data, at least `subset_min` images, or all if there are fewer."""
    labels = data.samples.labels
    wanted = round(settings.subset_fraction * len(labels))
    count = min(len(labels), max(wanted, settings.subset_min))
    return data.take(stratified(labels, count, generator))
