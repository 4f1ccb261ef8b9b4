"""An experiment in processes that `torchrun` started: all of them train, the first one writes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch.distributed as dist

from lure_core import parallel
from lure_core.errors import ConfigError
from lure_core.experiment.folder import KEPT
from lure_core.experiment.settings import Experiment


@dataclass(frozen=True)
class Part:
    """This process's part in the experiment.

    Attributes:
        settings: What it is to do.
        leads: Whether it tells of it; alone it does.
    """

    settings: Experiment
    leads: bool = True


@contextmanager
def joined(settings: Experiment) -> Iterator[Part]:
    """Join the processes of one machine that `torchrun` started; leave them at the end.

    They go through the same runs in step. Each keeps where it stands in a folder of its own, which
    begins as a copy of what the first one finds: so none decides otherwise about what is done.

    Raises:
        ConfigError: Several jobs are wanted beside.
    """
    world = parallel.start()
    if world.size == 1:
        yield Part(settings)
        return
    try:
        if settings.jobs > 1:
            raise ConfigError("experiment.jobs must be 1 under torchrun, whose processes share")
        with TemporaryDirectory(prefix="lure-") as own:
            if world.rank:
                _copy(Path(settings.out), Path(own))
            dist.barrier()  # the first one writes when all have copied
            follower = replace(settings, out=own, tensorboard=False, wandb=False)
            yield Part(follower, leads=False) if world.rank else Part(settings)
    finally:
        parallel.stop()


def _copy(source: Path, target: Path) -> None:
    for name in KEPT:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        elif (source / name).exists():
            shutil.copy(source / name, target / name)
