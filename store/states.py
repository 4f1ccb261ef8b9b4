"""The states of things, a sentence each, and one table of allowed moves."""

from __future__ import annotations

from enum import StrEnum

from store.errors import Conflict


class ChunkState(StrEnum):
    """Where a chunk is on its path."""

    RECEIVED = "received"  # its bytes are stored; it waits for admission
    QUARANTINED = "quarantined"  # a person must decide on it
    REJECTED = "rejected"  # it holds nothing that can be learned
    ADMITTED = "admitted"  # its canonical file is written; it waits for its cycle
    LEARNING = "learning"  # a cycle holds it
    LEARNED = "learned"  # a version has seen it; later cycles replay it
    FAILED = "failed"  # its cycle failed; released by hand it joins at the end
    RETRACTED = "retracted"  # taken back; nothing may learn from it again


_C = ChunkState
CHUNK_MOVES: dict[ChunkState, frozenset[ChunkState]] = {
    _C.RECEIVED: frozenset({_C.ADMITTED, _C.QUARANTINED, _C.REJECTED, _C.RETRACTED}),
    _C.QUARANTINED: frozenset({_C.ADMITTED, _C.REJECTED, _C.RETRACTED}),
    _C.REJECTED: frozenset({_C.RETRACTED}),
    _C.ADMITTED: frozenset({_C.LEARNING, _C.RETRACTED}),
    _C.LEARNING: frozenset({_C.LEARNED, _C.FAILED, _C.RETRACTED}),
    _C.LEARNED: frozenset({_C.RETRACTED}),
    _C.FAILED: frozenset({_C.ADMITTED, _C.RETRACTED}),
    _C.RETRACTED: frozenset(),
}
WAITING = (ChunkState.RECEIVED, ChunkState.ADMITTED)  # these hold back the chunks behind them
LEARNABLE = (  # their labels may still join the stream's classes
    ChunkState.QUARANTINED,
    ChunkState.ADMITTED,
    ChunkState.LEARNING,
    ChunkState.FAILED,
)
DEAD = (ChunkState.REJECTED, ChunkState.FAILED, ChunkState.RETRACTED)  # the same bytes may return


class CycleState(StrEnum):
    """Where a cycle is."""

    QUEUED = "queued"  # made, and waiting for a worker
    RUNNING = "running"  # a worker holds it, or held it and died
    SUCCEEDED = "succeeded"  # it has made its version
    FAILED = "failed"  # it gave up; its error is stored
    CANCELLED = "cancelled"  # a person stopped it


_Y = CycleState
CYCLE_MOVES: dict[CycleState, frozenset[CycleState]] = {
    _Y.QUEUED: frozenset({_Y.RUNNING, _Y.CANCELLED}),
    _Y.RUNNING: frozenset({_Y.SUCCEEDED, _Y.FAILED, _Y.CANCELLED}),
    _Y.SUCCEEDED: frozenset(),
    _Y.FAILED: frozenset(),
    _Y.CANCELLED: frozenset(),
}
ACTIVE = (CycleState.QUEUED, CycleState.RUNNING)


class Stage(StrEnum):
    """The stages of a running cycle, in their order."""

    LOAD = "load"  # the chunk files are mapped, the parent's bytes are read
    PREQUENTIAL = "prequential"  # the champion is scored on the new chunk before it learns
    UNLEARN = "unlearn"  # the least salient weights are re-initialised
    RELEARN = "relearn"  # training on the replayed data
    EVALUATE = "evaluate"  # candidate and parent on the pooled judge split
    SAVE = "save"  # the bytes of the new version
    GATE = "gate"  # the verdict
    PROMOTE = "promote"  # version, verdict and alias in one transaction


class VersionState(StrEnum):
    """Whether a version may be served."""

    READY = "ready"  # its weights are stored and may be served
    WEIGHTS_DELETED = "weights_deleted"  # only its record is left
    CONTAMINATED = "contaminated"  # it saw a chunk that was retracted


_V = VersionState
VERSION_MOVES: dict[VersionState, frozenset[VersionState]] = {
    _V.READY: frozenset({_V.WEIGHTS_DELETED, _V.CONTAMINATED}),
    _V.CONTAMINATED: frozenset({_V.WEIGHTS_DELETED}),
    _V.WEIGHTS_DELETED: frozenset(),
}


class RerunState(StrEnum):
    """Where a cycle that is run again is."""

    QUEUED = "queued"  # waits until no cycle has anything to do
    RUNNING = "running"  # a worker holds it, or held it and died, or gave way to a cycle
    SUCCEEDED = "succeeded"  # its figures are stored
    FAILED = "failed"  # it gave up; its error is stored
    CANCELLED = "cancelled"  # a person stopped it


_R = RerunState
RERUN_MOVES: dict[RerunState, frozenset[RerunState]] = {
    _R.QUEUED: frozenset({_R.RUNNING, _R.FAILED, _R.CANCELLED}),
    _R.RUNNING: frozenset({_R.SUCCEEDED, _R.FAILED, _R.CANCELLED}),
    _R.SUCCEEDED: frozenset(),
    _R.FAILED: frozenset(),
    _R.CANCELLED: frozenset(),
}


class ArtifactState(StrEnum):
    """Whether a version's export can be fetched."""

    QUEUED = "queued"  # asked for; a worker will make it
    READY = "ready"  # its bytes are stored and were checked against the version
    FAILED = "failed"  # it cannot be made; its error is stored


def check_chunk_move(old: ChunkState, new: ChunkState) -> None:
    """Raise Conflict unless a chunk may go from `old` to `new`."""
    if new not in CHUNK_MOVES[old]:
        raise Conflict(f"a chunk that is {old} cannot become {new}")


def check_cycle_move(old: CycleState, new: CycleState) -> None:
    """Raise Conflict unless a cycle may go from `old` to `new`."""
    if new not in CYCLE_MOVES[old]:
        raise Conflict(f"a cycle that is {old} cannot become {new}")


def check_version_move(old: VersionState, new: VersionState) -> None:
    """Raise Conflict unless a version may go from `old` to `new`."""
    if new not in VERSION_MOVES[old]:
        raise Conflict(f"a version that is {old} cannot become {new}")


def check_rerun_move(old: RerunState, new: RerunState) -> None:
    """Raise Conflict unless a rerun may go from `old` to `new`."""
    if new not in RERUN_MOVES[old]:
        raise Conflict(f"a rerun that is {old} cannot become {new}")
