"""The claim to a rerun, as `attending` holds it and `progress` writes behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store import reruns
from store.engine import Session
from store.states import Stage
from worker.attending import Hold


def hold(claim: reruns.Claim) -> Hold:
    return Hold(
        kind="rerun",
        key=claim.rerun_id,
        beat=lambda session: reruns.beat(session, claim),
        hand_back=lambda session: reruns.hand_back(session, claim),
        record_exception=lambda session, error: reruns.record_exception(session, claim, error),
    )


@dataclass(frozen=True)
class RerunLedger:
    """The rerun's row, which keeps no more of a stage than its name."""

    claim: reruns.Claim
    kind = "rerun"

    def enter(self, session: Session, stage: Stage) -> None:
        self.report(session, {"stage": stage}, resume_digest=None)

    def report(
        self, session: Session, progress: dict[str, Any], *, resume_digest: str | None
    ) -> None:
        reruns.report(session, self.claim, progress, resume_digest=resume_digest)

    def record_death(self, session: Session, error: str) -> bool:
        return reruns.record_death(session, self.claim, error)
