"""The row of a new version: everything that is told of it."""

from __future__ import annotations

from typing import Any

from lure_core.cycle import CycleResult
from store.models import Version
from store.states import VersionState
from worker import chunk_scores
from worker.candidate import Candidate
from worker.figures import storable


def make(candidate: Candidate, verdict: dict[str, Any]) -> Version:
    """The row, without its number."""
    work, result, stored = candidate.work, candidate.result, candidate.stored
    cycle = work.cycle
    return Version(
        cycle_id=cycle.id,
        parent=cycle.parent,
        ordinal=cycle.ordinal,
        chunks=[chunk.id for chunk in work.new],
        replayed=result.replayed,
        known_classes=len(result.checkpoint.sidecar["classes"]),
        strategy=cycle.strategy,
        state=VersionState.READY,
        metrics=storable(_metrics(candidate)),
        verdict=verdict,
        unlearning=_unlearning(candidate),
        mask_digest=stored.mask_digest,
        scores_digest=stored.scores_digest,
        config=candidate.task.config.to_dict(),
        environment=_environment(result),
        digest=stored.weights_digest,
        sidecar_digest=stored.sidecar_digest,
        size_bytes=stored.size_bytes,
    )


def _metrics(candidate: Candidate) -> dict[str, Any]:
    result, measures = candidate.result, candidate.measures
    temperature = measures.temperature
    return {
        **result.metrics.to_dict(),
        "prequential_accuracy": result.prequential_accuracy,
        **chunk_scores.summary(measures.per_chunk),
        "temperature": None if temperature is None else temperature.temperature,
        "agreement": measures.agreement,
    }


def _unlearning(candidate: Candidate) -> dict[str, Any] | None:
    report = candidate.result.unlearn
    if report is None:
        return None
    told: dict[str, Any] = storable(report.to_dict() | {"overlap": candidate.measures.overlap})
    # a list: the columns of JSON forget the order of an object's members, which is the mask's
    told["layers"] = [{"name": name, "weights": size} for name, size in told.pop("sizes").items()]
    return told


def _environment(result: CycleResult) -> dict[str, Any]:
    return result.environment | {
        "seed": result.checkpoint.sidecar.get("seed"),
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "trained": result.trained,
        "flops": result.flops,
        "images_per_s": storable(result.images_per_s),
        "timings": result.timings,
    }
