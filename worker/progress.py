"""Keeps the record of a running cycle: stages, progress, and the state to go on from."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from lure_core.cycle import Progress
from store import cycles
from store.blobs import KEEP_RESUME_S
from store.engine import Session
from store.failpoint import failpoint
from store.models import Stream
from store.states import Stage
from worker.context import Context
from worker.errors import Interrupted
from worker.figures import storable
from worker.heartbeat import Heartbeat

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.2  # epochs of a small stream last milliseconds


@dataclass
class Record:
    """Writes what a cycle tells of itself, behind its fence.

    Called by the core as each stage begins and after every epoch. A resume state is stored as each
    stage begins and every `resume_every_s` of the relearning; not at the first call, before which
    nothing was done that is not known already.

    Raises (each method):
        FenceLost: The cycle was handed to another worker.
        Interrupted: The worker is told to stop; the state of this moment is stored.
        DatabaseAway: For longer than the worker's patience.
    """

    context: Context
    claim: cycles.Claim
    stream: Stream
    heartbeat: Heartbeat
    _stage: Stage | None = None
    _has_news: bool = False
    _saved_at: float = field(default_factory=time.monotonic)
    _reported_at: float = 0.0

    def enter(self, stage: Stage) -> None:
        """Begin a stage that the core knows nothing of."""
        self.heartbeat.check()
        self._enter(stage, None, None)
        failpoint(f"cycle.{stage}")

    def __call__(self, progress: Progress) -> None:
        """Hear of the cycle."""
        stage = Stage(progress.stage)
        self._check(progress)
        if stage is not self._stage:
            resume = self._save(progress) if self._has_news else None
            self._enter(stage, _shown(progress), resume)
            self._has_news = True
            failpoint(f"cycle.{stage}")
        else:
            self._report(progress)
            failpoint(f"cycle.{stage}.epoch")

    def _check(self, progress: Progress) -> None:
        try:
            self.heartbeat.check()
        except Interrupted:
            if self._has_news:
                self._transact_report(_shown(progress), self._save(progress))
            raise

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        is_due = now - self._saved_at >= self.context.settings.resume_every_s
        if is_due or now - self._reported_at >= _REPORT_EVERY_S:
            self._transact_report(_shown(progress), self._save(progress) if is_due else None)

    def _enter(self, stage: Stage, shown: dict[str, Any] | None, resume: str | None) -> None:
        def write(session: Session) -> None:
            cycles.enter(session, self.stream, self.claim, stage)
            if shown is not None:
                cycles.report(session, self.stream, self.claim, shown, resume_digest=resume)

        self.context.transact(write)
        self._stage = stage

    def _transact_report(self, shown: dict[str, Any], resume: str | None) -> None:
        self.context.transact(
            lambda session: cycles.report(
                session, self.stream, self.claim, shown, resume_digest=resume
            )
        )
        self._reported_at = time.monotonic()

    def _save(self, progress: Progress) -> str | None:
        """Store the state of this moment; its digest."""
        if progress.state is None:
            return None
        state = progress.state()
        self._saved_at = time.monotonic()
        try:
            return self.context.patiently(
                lambda: self.context.blobs.put_bytes(state, keep_s=KEEP_RESUME_S)
            )
        except OSError as error:  # going on without is better than giving up what was learned
            log.warning("no resume state stored: %s", error)
            return None


def _shown(progress: Progress) -> dict[str, Any]:
    figures = ("stage", "epoch", "epochs", "loss", "accuracy", "images_per_s")
    return {name: storable(getattr(progress, name)) for name in figures}
