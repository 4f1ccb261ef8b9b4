"""Stages save, gate and promote: the bytes first, then one transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lure_core import cycle as core
from lure_core.checkpoint import restore
from lure_core.cycle import Checkpoint, CycleResult
from store import aliases, cycles, events, streams, versions
from store.engine import Session
from store.models import Cycle, Stream, Version
from store.states import VersionState
from worker import gate, loading
from worker.context import Context
from worker.figures import storable

WHO = "gate"  # in the history of the aliases


@dataclass(frozen=True)
class Stored:
    """Where a checkpoint's bytes lie."""

    weights_digest: str
    sidecar_digest: str
    size_bytes: int


@dataclass(frozen=True)
class Candidate:
    """What a cycle has made and would have served."""

    claim: cycles.Claim
    cycle: Cycle
    result: CycleResult
    stored: Stored


def save(context: Context, checkpoint: Checkpoint) -> Stored:
    """Store the bytes; no row names them yet."""
    sidecar = json.dumps(checkpoint.sidecar, sort_keys=True).encode()
    put = context.blobs.put_bytes
    return Stored(
        weights_digest=context.patiently(lambda: put(checkpoint.weights)),
        sidecar_digest=context.patiently(lambda: put(sidecar)),
        size_bytes=len(checkpoint.weights),
    )


def judge(
    context: Context, work: loading.Work, task: loading.Task, result: CycleResult
) -> gate.Verdict:
    """Compare with the champion of this moment, scored on the same images as the candidate."""
    champion = context.transact(lambda session: _champion(session, work.stream))
    answers = result.parent_answers
    if champion is not None and champion.version != work.cycle.parent:
        checkpoint = loading.read_version(context, champion)
        answers = core.judge(checkpoint, task.data, task.config)
    return gate.decide(
        gate.Score.of(result.answers),
        None if answers is None or champion is None else gate.Score.of(answers),
        gate.Policy.of(work.stream.policies),
        champion_version=None if champion is None else champion.version,
        diverged=not _is_finite(result.checkpoint),
    )


def promote(context: Context, candidate: Candidate, verdict: gate.Verdict) -> bool:
    """Make the version, store its verdict, move the aliases and end the cycle, all or nothing.

    Returns:
        False, with nothing written, when the champion is not the one that it was judged against.

    Raises:
        FenceLost: The cycle was handed to another worker, or this was done already and the
            database left before it could say so.
    """

    def write(session: Session) -> bool:
        stream = streams.lock(session, candidate.claim.stream_id)
        cycle = cycles.fenced(session, candidate.claim)
        # no alias moves without the stream's lock, so this holds until the commit
        champion = aliases.champion(session, stream)
        if verdict.champion_version != (champion and champion.version):
            return False
        told = verdict.record(held=champion is not None and champion.hold)
        version = versions.add(session, stream, _row(session, candidate, told))
        cycle.verdict = told
        cycles.succeed(
            session,
            stream,
            cycle,
            version=version.version,
            prequential=candidate.result.prequential_accuracy,
        )
        _move_aliases(session, stream, version)
        name = "gate.failed" if verdict.outcome == "failed" else "gate.passed"
        events.note(session, name, stream, cycle=cycle.id, version=version.version, verdict=told)
        return True

    return context.transact(write)


def _is_finite(checkpoint: Checkpoint) -> bool:
    """Whether all weights are numbers; reads the checkpoint as whoever serves it will."""
    tensors = restore(checkpoint).state_dict().values()
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _champion(session: Session, stream: Stream) -> Version | None:
    number = aliases.version_of(session, stream.id, aliases.CHAMPION)
    return None if number is None else versions.get(session, stream, number)


def _row(session: Session, candidate: Candidate, verdict: dict[str, Any]) -> Version:
    cycle, result, stored = candidate.cycle, candidate.result, candidate.stored
    return Version(
        cycle_id=cycle.id,
        parent=cycle.parent,
        ordinal=cycle.ordinal,
        chunks=[chunk.id for chunk in cycles.of_cycle(session, cycle.id)],
        replayed=result.replayed,
        known_classes=len(result.checkpoint.sidecar["classes"]),
        strategy=cycle.strategy,
        state=VersionState.READY,
        metrics=storable(
            result.metrics.to_dict() | {"prequential_accuracy": result.prequential_accuracy}
        ),
        verdict=verdict,
        unlearning=None if result.unlearn is None else storable(result.unlearn.to_dict()),
        environment=result.environment
        | {
            "seed": result.checkpoint.sidecar.get("seed"),
            "best_epoch": result.best_epoch,
            "epochs": result.epochs,
            "trained": result.trained,
            "flops": result.flops,
            "images_per_s": storable(result.images_per_s),
            "timings": result.timings,
        },
        digest=stored.weights_digest,
        sidecar_digest=stored.sidecar_digest,
        size_bytes=stored.size_bytes,
    )


def _move_aliases(session: Session, stream: Stream, version: Version) -> None:
    reason: str = version.verdict["reason"]
    to = aliases.Move(version.version, WHO, reason)
    aliases.move(session, stream, aliases.LATEST, to)
    aliases.move(session, stream, aliases.CANDIDATE, to)
    if version.verdict["promoted"]:
        aliases.move(session, stream, aliases.CHAMPION, to)
