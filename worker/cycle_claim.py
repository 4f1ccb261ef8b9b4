"""The claim to a cycle, as `attending` holds it and `progress` writes behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store import cycles
from store.engine import Session
from store.models import Stream
from store.states import Stage
from worker.attending import Hold


def hold(claim: cycles.Claim) -> Hold:
    return Hold(
        kind="cycle",
        key=claim.cycle_id,
        beat=lambda session: cycles.beat(session, claim),
        hand_back=lambda session: cycles.hand_back(session, claim),
        record_exception=lambda session, error: cycles.record_exception(session, claim, error),
    )


@dataclass(frozen=True)
class CycleLedger:
    """The cycle's row."""

    stream: Stream
    claim: cycles.Claim
    kind = "cycle"

    def enter(self, session: Session, stage: Stage) -> None:
        cycles.enter(session, self.stream, self.claim, stage)

    def report(
        self, session: Session, progress: dict[str, Any], *, resume_digest: str | None
    ) -> None:
        cycles.report(session, self.stream, self.claim, progress, resume_digest=resume_digest)

    def record_death(self, session: Session, error: str) -> bool:
        return cycles.record_death(session, self.claim, error)
