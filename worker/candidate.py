"""What a cycle has made and would have served."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lure_core.cycle import CycleResult
from store import scores
from store.cycles import Claim
from worker.context import Context
from worker.loading import Task, Work
from worker.measures import Measures


@dataclass(frozen=True)
class Stored:
    """Where its bytes lie.

    Attributes:
        mask_digest: Of the packed bits of what was reset; None where no single weights were.
        scores_digest: Of how it does on each chunk.
        size_bytes: Of the weights.
    """

    weights_digest: str
    sidecar_digest: str
    mask_digest: str | None
    scores_digest: str
    size_bytes: int


@dataclass(frozen=True)
class Candidate:
    """A new version that no row knows yet."""

    claim: Claim
    work: Work
    task: Task
    result: CycleResult
    measures: Measures
    stored: Stored


def save(context: Context, result: CycleResult, measures: Measures) -> Stored:
    """Store the bytes; no row names them yet."""
    checkpoint, report = result.checkpoint, result.unlearn

    def put(content: bytes) -> str:
        return context.patiently(lambda: context.blobs.put_bytes(content))

    mask = None if report is None else report.mask
    return Stored(
        weights_digest=put(checkpoint.weights),
        sidecar_digest=put(json.dumps(checkpoint.sidecar, sort_keys=True).encode()),
        mask_digest=None if mask is None else put(mask.tobytes()),
        scores_digest=put(scores.packed(measures.per_chunk)),
        size_bytes=len(checkpoint.weights),
    )
