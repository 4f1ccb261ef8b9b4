"""The data sets of experiments: each module reads one layout into a `Source`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from lure_core.experiment.datasets import chunkfiles, cifar, digits, folder, restricted, zips
from lure_core.experiment.datasets.source import Source
from lure_core.experiment.settings import DatasetName

__all__ = ["Source", "load"]


@lru_cache(maxsize=1)
def load(dataset: DatasetName, root: str | None, side: int | None) -> Source:
    """Read a data set; the last one asked for is kept.

    Args:
        dataset: Its name in `Experiment.dataset`.
        root: Its folder; None where it needs none.
        side: Images are scaled and cropped to it, in pixels; None: the data set's own.

    Raises:
        ConfigError: It is not there, or not in its layout; says what is expected where.
    """
    return _LOADERS[dataset](dataset, root, side)


_LOADERS: dict[DatasetName, Callable[[DatasetName, str | None, int | None], Source]] = {
    "cifar10": lambda name, root, _: cifar.load(name, root),
    "cifar100": lambda name, root, _: cifar.load(name, root),
    "restricted-imagenet": lambda _, root, side: restricted.load(root, side),
    "folder": lambda _, root, side: folder.load(root, side),
    "digits": lambda *_: digits.load(),
    "zips": lambda _, root, side: zips.load(root, side),
    "chunkfiles": lambda _, root, __: chunkfiles.load(root),
}
