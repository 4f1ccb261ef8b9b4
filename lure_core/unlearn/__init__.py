"""Unlearning strategies: what is forgotten before relearning, behind one protocol."""

from __future__ import annotations

from lure_core.config import Unlearn
from lure_core.unlearn.batchnorm import estimate_batchnorm
from lure_core.unlearn.lure import Lure
from lure_core.unlearn.official import LureOfficial
from lure_core.unlearn.plain import Scratch, Warm
from lure_core.unlearn.protocol import Probe, Strategy

__all__ = ["Lure", "LureOfficial", "Probe", "Strategy", "estimate_batchnorm", "strategy"]


def strategy(settings: Unlearn, probe: Probe | None = None) -> Strategy:  # noqa: ARG001
    match settings.strategy:
        case "warm":
            return Warm()
        case "scratch":
            return Scratch()
        case "lure":
            return Lure(settings)
        case "lure-official":
            return LureOfficial(settings)
        case other:
            raise NotImplementedError(other)
