"""A cycle in several processes, begun again from its last resume state whenever one of them dies.

The same number of ranks comes to the same weights, however often that happens: bit for bit on the
CPU, where nothing but the number of ranks and of threads decides in which order figures are added.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from lure_core.cycle import CycleResult, Progress, Start
from worker.context import Context
from worker.loading import Task
from worker.progress import Record
from worker.ranks.launch import RanksDied, launch

log = logging.getLogger(__name__)


def run(context: Context, task: Task, resume: bytes | None, record: Record) -> CycleResult:
    """Run the cycle to its end.

    Each death is written behind the claim's fence and counts as that of a worker does: twenty
    without a new resume state in between, and the cycle has failed.

    Raises:
        BadCheckpoint: The resume state belongs to another cycle.
        FenceLost, Interrupted, DatabaseAway: As `Record`; the ranks are gone then.
        RanksRaised, CoreError, OSError: As `launch`.
    """
    ear = _Ear(record, resume)
    while True:
        try:
            return launch(context, task, Start(task.parent, ear.state), ear)
        except RanksDied as died:
            log.warning("a rank died: %s", died)
            record.check()
            record.died(f"a rank died: {died}")


@dataclass
class _Ear:
    """Passes on what rank 0 tells, and keeps the last state that was wanted of it."""

    record: Record
    state: bytes | None

    def __call__(self, progress: Progress) -> None:
        def state() -> bytes:
            assert progress.state is not None
            self.state = progress.state()
            return self.state

        self.record(replace(progress, state=state))
