"""`torchrun … -m worker.ranks FOLDER`: one of the processes that run a cycle together.

It lives as long as its standard input is open: a worker that ends, however it does, takes its ranks
along.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

from lure_core import models, parallel
from lure_core.config import CycleConfig
from lure_core.cycle import Progress, run_cycle
from lure_core.errors import PeerLost
from store.failpoint import failpoint
from worker.ranks import job as jobs
from worker.ranks import results
from worker.ranks.telling import HungUp, Teller
from worker.yielding import give_way

log = logging.getLogger(__name__)


def main(folder: Path) -> int:
    """Do this rank's part.

    Returns:
        0; 1 where it raised: the folder says what, unless it was another process that left.
    """
    threading.Thread(target=_leave_with_worker, args=(folder,), daemon=True).start()
    give_way(os.nice(0))  # as nice as the worker, within the session that torchrun made too
    try:
        _work(jobs.read(folder))
    except (PeerLost, HungUp) as lost:
        log.warning("given up: %s", lost)
        return 1
    except Exception as error:
        log.exception("the cycle raised")
        jobs.Fault.of(error).write(folder, int(os.environ.get("RANK", "0")))
        return 1
    parallel.stop()
    return 0


def _work(job: jobs.Job) -> None:
    torch.set_num_threads(job.threads)
    config = CycleConfig.from_dict(job.config)
    models.require(config.architecture, input=config.input, allowed=job.packages)
    world = parallel.start(config.device, job.timeout_s)
    with nullcontext() if world.rank else Teller(job.socket) as teller:
        on_stage = _telling(world.rank, teller)
        result = run_cycle(job.start(), job.data(config), config, on_stage)
        if teller is not None:
            teller.result(results.pack(result))


def _telling(rank: int, teller: Teller | None) -> Callable[[Progress], None]:
    def on_stage(progress: Progress) -> None:
        if teller is not None:
            teller.progress(progress)
        failpoint(f"rank-{rank}.{progress.stage}{'' if progress.loss is None else '.epoch'}")

    return on_stage


def _leave_with_worker(folder: Path) -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be held when Python ends
        pass
    jobs.take_away(folder)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
