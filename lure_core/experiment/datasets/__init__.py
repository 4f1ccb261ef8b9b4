"""The data sets of experiments: each module reads one layout into a `Source`."""

from __future__ import annotations

from functools import lru_cache

from lure_core.errors import ConfigError
from lure_core.experiment.datasets import digits
from lure_core.experiment.datasets.source import Source

__all__ = ["Source", "load"]


@lru_cache(maxsize=1)
def load(dataset: str, root: str | None, side: int | None) -> Source:
    """Read a data set; the last one asked for is kept.

    Args:
        dataset: Its name in `Experiment.dataset`.
        root: Its folder; None where it needs none.
        side: Images are scaled and cropped to it, in pixels; None: the data set's own.

    Raises:
        ConfigError: It is not there, or not in its layout; says what is expected where.
    """
    if dataset == "digits":
        return digits.load()
    raise ConfigError(f"experiment.dataset {dataset!r} cannot be read yet")
