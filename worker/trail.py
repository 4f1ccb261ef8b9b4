"""What a task is about, for its log and its trace: bound once, and gone when the task ends.

A chunk's trace begins with the request that brought it; its admission and its cycle go on with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from structlog.contextvars import bound_contextvars

from store import chunks, cycles, streams, traces, tracing
from store.engine import Session
from store.tracing import Span


@dataclass(frozen=True)
class Trail:
    """Where some work comes from.

    Attributes:
        stream: The stream's name.
        parent: The traceparent to go on from; None: a trace begins here.
        links: Those of other chunks that lead to the same work.
        waited_s: How long the work waited for a worker, by the database's clock; 0: not known.
    """

    stream: str
    parent: str | None = None
    links: tuple[str, ...] = ()
    waited_s: float = 0.0


def of_admission(session: Session, claim: chunks.Admission) -> Trail:
    """The chunk's own trace, in the transaction of the claim."""
    chunk = chunks.fenced(session, claim)
    parent = traces.of(session, [chunk.id]).get(chunk.id)
    waited_s = 0.0
    if claim.attempt == 1 and chunk.heartbeat_at is not None:
        waited_s = (chunk.heartbeat_at - chunk.received_at).total_seconds()
    return Trail(streams.name_of(session, claim.stream_id), parent, waited_s=waited_s)


def of_cycle(session: Session, claim: cycles.Claim) -> Trail:
    """The oldest chunk's trace, linked with the others', in the transaction of the claim.

    A cycle that another worker takes over stays within its trace.
    """
    cycle = cycles.fenced(session, claim)
    new = cycles.of_cycle(session, cycle.id)
    known = traces.of(session, [cycle.id, *(chunk.id for chunk in new)])
    parents = [known[chunk.id] for chunk in new if chunk.id in known]
    parent = known.get(cycle.id) or next(iter(parents), None)
    if parent is not None and cycle.id not in known:
        traces.keep(session, cycle.id, parent)
    admitted = [chunk.admitted_at for chunk in new if chunk.admitted_at is not None]
    waited_s = 0.0
    if claim.attempt == 1 and cycle.started_at is not None and admitted:
        waited_s = (cycle.started_at - max(admitted)).total_seconds()
    name = streams.name_of(session, claim.stream_id)
    return Trail(name, parent, links=tuple(parents[1:]), waited_s=waited_s)


@contextmanager
def follow(name: str, trail: Trail, **ids: str | int) -> Iterator[Span]:
    """Within, every line tells stream, trace and `ids`, and what happens is a span of that name."""
    told = {"stream": trail.stream, **ids}
    with tracing.trace(name, parent=trail.parent, links=trail.links, serves=False, **told) as span:
        here = span.traceparent or trail.parent
        named = {} if here is None else {"trace_id": traces.id_of(here)}
        with bound_contextvars(**told, **named):
            if trail.parent is not None and trail.waited_s > 0:
                now = time.monotonic()
                tracing.record(f"{name}.queue", trail.parent, began=now - trail.waited_s, ended=now)
            yield span
