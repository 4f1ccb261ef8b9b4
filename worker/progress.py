"""Keeps the record of what the core runs: stages, progress, and the state to go on from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from lure_core.cycle import Progress
from store.blobs import KEEP_RESUME_S
from store.engine import Session
from store.errors import FenceLost
from store.failpoint import failpoint
from store.states import Stage
from store.tracing import Steps
from worker import gpu
from worker.context import Context
from worker.errors import Interrupted
from worker.figures import storable

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.2  # epochs of a small stream last milliseconds


class Ledger(Protocol):
    """Where it is written, behind the fence of a claim."""

    @property
    def kind(self) -> str:
        """What is run, as failpoints name it."""

    def enter(self, session: Session, stage: Stage) -> None:
        """A stage begins."""

    def report(
        self, session: Session, progress: dict[str, Any], *, resume_digest: str | None
    ) -> None:
        """How far the stage is, and the resume state if one was stored."""

    def record_death(self, session: Session, error: str) -> bool:
        """A process that shared the work died; whether that was one too many, and all is over."""


@dataclass
class Record:
    """Writes what the core tells of itself into a ledger.

    Called by the core as each stage begins and after every epoch. A resume state is stored as each
    stage begins and every `resume_every_s` of the relearning; not at the first call, before which
    nothing was done that is not known already.

    Attributes:
        context: The store and the clocks.
        ledger: What to write into.
        check: Asked at every call; raises `Interrupted` where the work is to stop.
        steps: The stages as spans of the trace that is going on, if one is.

    Raises (each method):
        FenceLost: The work was handed to another worker.
        Interrupted: It is to stop; the state of this moment is stored.
        DatabaseAway: For longer than the worker's patience.
    """

    context: Context
    ledger: Ledger
    check: Callable[[], None]
    steps: Steps = field(default_factory=Steps)
    _stage: Stage | None = None
    _has_news: bool = False
    _saved_at: float = field(default_factory=time.monotonic)
    _reported_at: float = 0.0

    def enter(self, stage: Stage) -> None:
        """Begin a stage that the core knows nothing of."""
        self.check()
        self._enter(stage, None, None)
        failpoint(f"{self.ledger.kind}.{stage}")

    def __call__(self, progress: Progress) -> None:
        """Hear of the core."""
        stage = Stage(progress.stage)
        self._save_if_stopped(progress)
        if stage is not self._stage:
            resume = self._save(progress) if self._has_news else None
            self._enter(stage, _shown(progress), resume)
            self._has_news = True
            failpoint(f"{self.ledger.kind}.{stage}")
        else:
            self._report(progress)
            failpoint(f"{self.ledger.kind}.{stage}.epoch")

    def died(self, error: str) -> None:
        """A process that shared the work is gone; the work begins again if this returns."""
        if self.context.transact(lambda session: self.ledger.record_death(session, error)):
            raise FenceLost(f"too many deaths: {error}")

    def _save_if_stopped(self, progress: Progress) -> None:
        try:
            self.check()
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
            self.ledger.enter(session, stage)
            if shown is not None:
                self.ledger.report(session, shown, resume_digest=resume)

        self.context.transact(write)
        self._stage = stage
        self.steps.next(f"{self.ledger.kind}.{stage}")
        self._measure()

    def _transact_report(self, shown: dict[str, Any], resume: str | None) -> None:
        self.context.transact(
            lambda session: self.ledger.report(session, shown, resume_digest=resume)
        )
        self._reported_at = time.monotonic()
        self._measure()

    def _measure(self) -> None:
        gpu.measure(self.context.board, self.context.settings.device)

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
