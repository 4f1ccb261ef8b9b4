"""What is measured of a new version beside the figures that its cycle gives."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lure_core import agreement, masks
from lure_core.calibration import Temperature
from lure_core.cycle import CycleResult, calibrate
from store import scores
from store.errors import BlobDamaged, BlobMissing
from store.models import Version
from worker import chunk_scores
from worker.chunk_scores import Entry
from worker.context import Context
from worker.loading import Task, Work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measures:
    """Figures of a version.

    Attributes:
        temperature: That would calibrate it, by the select images; recorded, not applied.
        agreement: {bf16, images, device}: how often it answers in bf16 as in fp32; None where it
            will not be asked to. See `lure_core.agreement`.
        overlap: {version, share, by_chance}: how much of what was reset had been reset to make the
            parent too; None where one of the two reset no single weights, or the head has grown.
        per_chunk: How it does on each chunk; see `chunk_scores`.
    """

    temperature: Temperature | None
    agreement: dict[str, Any] | None
    overlap: dict[str, Any] | None
    per_chunk: list[Entry]


def measure(context: Context, work: Work, task: Task, result: CycleResult) -> Measures:
    """Measure a version: a pass over the select images, and where bf16 may serve one over judge."""
    version, data, config = result.checkpoint, task.data, task.config
    return Measures(
        temperature=calibrate(version, data, config),
        agreement=agreement.measure(version, data.parts, config, result.answers),
        overlap=_overlap(context, work, result),
        per_chunk=_per_chunk(context, work, result),
    )


def _overlap(context: Context, work: Work, result: CycleResult) -> dict[str, Any] | None:
    parent = work.parent
    if result.unlearn is None or parent is None:
        return None
    found = masks.overlap(result.unlearn, _mask(context, parent))
    if found is None:
        return None
    return {"version": parent.version, "share": found.share, "by_chance": found.by_chance}


def _mask(context: Context, version: Version) -> npt.NDArray[np.uint8] | None:
    """What was reset to make a version; a figure less if the bytes are lost, not a cycle less."""
    digest = version.mask_digest
    if digest is None:
        return None
    try:
        return np.frombuffer(context.read(digest), dtype=np.uint8)
    except (BlobMissing, BlobDamaged) as lost:
        log.warning("no overlap with version %s: %s", version.version, lost)
        return None


def _per_chunk(context: Context, work: Work, result: CycleResult) -> list[Entry]:
    before = [] if work.parent is None else _scores(context, work.parent)
    return chunk_scores.per_chunk(result.answers.by_chunk(), work.chunks, before)


def _scores(context: Context, version: Version) -> list[Entry]:
    """How the parent did on each chunk; without its bytes, too, the lineage begins anew here."""
    try:
        return context.patiently(lambda: scores.read(context.blobs, version)) or []
    except (BlobMissing, BlobDamaged) as lost:
        log.warning("no forgetting since version %s: %s", version.version, lost)
        return []
