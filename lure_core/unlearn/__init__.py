"""Unlearning strategies: what is forgotten before relearning, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable

from lure_core.batchnorm import estimate_batchnorm
from lure_core.config import Unlearn
from lure_core.errors import ConfigError
from lure_core.unlearn.auto import Auto
from lure_core.unlearn.dash import Dash
from lure_core.unlearn.fire import Fire
from lure_core.unlearn.layers import LastLayer, LaterLayers, Rescale
from lure_core.unlearn.lure import Lure
from lure_core.unlearn.official import LureOfficial
from lure_core.unlearn.plain import Scratch, Warm
from lure_core.unlearn.protocol import Probe, Strategy
from lure_core.unlearn.resets import MagnitudeReset, RandomReset
from lure_core.unlearn.shrink import ShrinkPerturb

__all__ = ["Lure", "LureOfficial", "Probe", "Strategy", "estimate_batchnorm", "strategy"]

_MAKERS: dict[str, Callable[[Unlearn], Strategy]] = {
    "warm": lambda _: Warm(),
    "scratch": lambda _: Scratch(),
    "lure": Lure,
    "lure-official": LureOfficial,
    "random-reset": RandomReset,
    "magnitude-reset": MagnitudeReset,
    "shrink-perturb": ShrinkPerturb,
    "dash": Dash,
    "fire": Fire,
    "later-layers": LaterLayers,
    "last-layer": lambda _: LastLayer(),
    "rescale": Rescale,
}


def strategy(settings: Unlearn, probe: Probe | None = None) -> Strategy:
    """The strategy that the settings name.

    Args:
        settings: Its name and what it is told.
        probe: How `auto` tries a candidate; the others have no use for it.

    Raises:
        ConfigError: `auto` was given no probe.
    """
    if settings.strategy != "auto":
        return _MAKERS[settings.strategy](settings)
    if probe is None:
        raise ConfigError("unlearn.strategy auto tries its candidates: it must be given a probe")
    return Auto(settings, probe, build=strategy)
