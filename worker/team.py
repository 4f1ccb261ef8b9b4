"""How many processes run a cycle together, and with how many threads each."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from lure_core.config import CycleConfig
from worker.device import cpus, threads_for

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Team:
    """The processes of one cycle.

    Attributes:
        ranks: How many; 1: the worker's own, with no other beside it.
        threads: Of each.
    """

    ranks: int = 1
    threads: int = 1


def choose(wanted: int, threads: int, config: CycleConfig, *, images: int) -> Team:
    """The team of a cycle, by the worker's settings.

    Args:
        wanted: `LURE_RANKS`; 0: one for each GPU.
        threads: `LURE_THREADS`: of the whole cycle; 0: by the size of its batches.
        config: Of the cycle.
        images: That it learns from.
    """
    gpus = torch.cuda.device_count() if config.device in ("auto", "cuda") else 0
    ranks, remarks = count(wanted, config, gpus=gpus, cores=cpus(), images=images)
    for remark in remarks:
        log.info("ranks: %s", remark)
    return Team(ranks, threads_for(threads, config, ranks=ranks))


def count(
    wanted: int, config: CycleConfig, *, gpus: int, cores: int, images: int
) -> tuple[int, list[str]]:
    """How many ranks make sense, and in words why not as many as are wanted, or as evenly."""
    ranks = wanted or max(1, gpus)
    remarks = []
    for most, why in _bounds(config, gpus=gpus, images=images):
        if ranks > most:
            remarks.append(f"{most} and not {ranks}, because {why}")
            ranks = most
    if ranks > 1 and not gpus and cores % ranks:
        idle = f"{cores % ranks} of them idle" if cores > ranks else "they share them"
        remarks.append(f"{ranks} on {cores} cores: {idle}")
    return ranks, remarks


def _bounds(config: CycleConfig, *, gpus: int, images: int) -> list[tuple[int, str]]:
    batch = config.recipe.batch_size
    bounds = [
        (batch, f"a batch has {batch} images"),
        (max(1, images), f"there are {images} images"),
    ]
    if gpus:
        bounds.append((gpus, f"each has a GPU of its own and {gpus} can be seen"))
    if config.device not in ("auto", "cpu", "cuda"):
        bounds.append((1, f"LURE_DEVICE names one device, {config.device}"))
    if config.recipe.compile:
        bounds.append((1, "the recipe compiles the model, for one process alone"))
    return bounds
