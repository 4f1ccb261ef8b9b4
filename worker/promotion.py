"""Stages gate and promote: judge beside the champion, then write everything in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lure_core import cycle as core
from lure_core import policies
from lure_core.checkpoint import restore
from lure_core.cycle import CycleResult
from store import aliases, cycles, events, streams, traces, tracing, versions
from store.engine import Session
from store.models import Stream, Version
from worker import gate, loading, version_row
from worker.candidate import Candidate
from worker.context import Context
from worker.figures import storable

WHO = "gate"  # in the history of the aliases


@dataclass(frozen=True)
class Champion:
    """What is served, and the ids of the chunks that it had learned."""

    version: Version
    learned: frozenset[str]


def judge(context: Context, candidate: Candidate) -> gate.Verdict:
    """Compare with the champion of this moment, asked about the same images as the candidate."""
    work, task, result = candidate.work, candidate.task, candidate.result
    champion = context.transact(lambda session: _champion(session, work.stream))
    answers = None
    if champion is not None:
        answers = result.parent_answers
        if champion.version.version != work.cycle.parent:
            checkpoint = loading.read_version(context, champion.version)
            answers = core.judge(checkpoint, task.data, task.config)
    case = gate.Case(
        candidate=result.answers,
        champion=answers,
        champion_version=None if champion is None else champion.version.version,
        classes=task.config.classes,
        chunks=work.chunks,
        learned=frozenset() if champion is None else champion.learned,
        diverged=not _is_finite(result),
    )
    return gate.decide(case, policies.policy(policies.Gate, work.policies))


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
        told = storable(verdict.record(held=champion is not None and champion.hold))
        version = versions.add(session, stream, version_row.make(candidate, told))
        cycle.verdict = told
        cycles.succeed(
            session,
            stream,
            cycle,
            version=version.version,
            prequential=candidate.result.prequential_accuracy,
        )
        _move_aliases(session, stream, version)
        if (here := tracing.current()) is not None:  # where the swaps go on from
            traces.keep(session, cycle.id, here)
        name = "gate.failed" if verdict.outcome == "failed" else "gate.passed"
        events.note(session, name, stream, cycle=cycle.id, version=version.version, verdict=told)
        return True

    return context.transact(write)


def _champion(session: Session, stream: Stream) -> Champion | None:
    number = aliases.version_of(session, stream.id, aliases.CHAMPION)
    if number is None:
        return None
    version = versions.get(session, stream, number)
    replayed = cycles.get(session, stream, version.cycle_id).replay
    return Champion(version, frozenset((*replayed, *version.chunks)))


def _is_finite(result: CycleResult) -> bool:
    """Whether all weights, as whoever serves them will read them, and answers are numbers."""
    tensors = restore(result.checkpoint).state_dict().values()
    answers = np.isfinite(result.answers.confidence_N)
    return bool(answers.all()) and all(bool(tensor.isfinite().all()) for tensor in tensors)


def _move_aliases(session: Session, stream: Stream, version: Version) -> None:
    reason: str = version.verdict["reason"]
    to = aliases.Move(version.version, WHO, reason)
    aliases.move(session, stream, aliases.LATEST, to)
    aliases.move(session, stream, aliases.CANDIDATE, to)
    if version.verdict["promoted"]:
        aliases.move(session, stream, aliases.CHAMPION, to)
