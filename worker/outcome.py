"""What a rerun came to, beside the version that it is a rerun of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lure_core import cycle as core
from lure_core.checkpoint import restore
from lure_core.cycle import Checkpoint, CycleResult
from store import reruns
from store.errors import BlobMissing
from store.models import Version
from store.states import VersionState
from worker.context import Context
from worker.figures import storable
from worker.loading import Task, read_version
from worker.recorded import Recorded

_CIRCUMSTANCES = (  # that a bit of the weights may depend on
    "device",
    "precision",
    "channels_last",
    "threads",
    "cpu",
    "gpu",
    "ranks",
    "backend",
    "libraries",
    "resumed_from",
)
_WHERE_UNTOLD = {"ranks": 1}  # by versions older than it


def outcome(context: Context, made: Recorded, task: Task, result: CycleResult) -> dict[str, Any]:
    """The rerun's result, as plain JSON: figures, circumstances, and what differs."""
    told = {
        "metrics": result.metrics.to_dict(),
        "timings": result.timings,
        "images_per_s": result.images_per_s,
        "flops": result.flops,
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "trained": result.trained,
        "digest": hashlib.sha256(result.checkpoint.weights).hexdigest(),
        "environment": result.environment,
        "circumstances": differing(made.version.environment, result.environment),
    }
    if made.rerun.method == reruns.REPRODUCE:
        told |= _difference(context, made.version, task, result)
    plain: dict[str, Any] = storable(told)
    return plain


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The circumstances that are not as they were: `{"libraries.torch": {"before", "now"}}`."""
    old, new = _flat(before), _flat(now)
    return {
        name: {"before": old.get(name), "now": new.get(name)}
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in _CIRCUMSTANCES:
        value = environment.get(name, _WHERE_UNTOLD.get(name))
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{key}".rstrip("."): item for key, item in inner.items()}
    return flat


def _difference(
    context: Context, version: Version, task: Task, result: CycleResult
) -> dict[str, Any]:
    """Whether the weights are the same bits, and where not, how far they are from it."""
    if result.checkpoint.sidecar["weights_sha256"] == version.digest:
        return {"identical": True}
    before = _weights(context, version)
    if before is None:
        return {"identical": False}
    return {
        **differing_weights(before, result.checkpoint),
        "agreement": _agreement(before, task, result),
    }


def _weights(context: Context, version: Version) -> Checkpoint | None:
    """None where only the version's record is left."""
    if version.state is VersionState.WEIGHTS_DELETED:
        return None
    try:
        return read_version(context, version)
    except BlobMissing:  # deleted in this moment
        return None


def differing_weights(before: Checkpoint, now: Checkpoint) -> dict[str, Any]:
    """Bit by bit: files that differ may hold the same weights, written by another library."""
    old, new = restore(before).state_dict(), restore(now).state_dict()
    differ = [name for name, tensor in new.items() if _bits(tensor) != _bits(old[name])]
    distances = [float((new[name].double() - old[name].double()).abs().max()) for name in differ]
    return {
        "identical": not differ,
        "tensors": len(new),
        "differing_tensors": len(differ),
        "max_difference": max(distances, default=0.0),
    }


def _bits(tensor: Tensor) -> bytes:
    bits: bytes = tensor.contiguous().numpy().tobytes()
    return bits


def _agreement(before: Checkpoint, task: Task, result: CycleResult) -> float | None:
    """The share of the judge images that both answer alike; None without any."""
    answers = core.judge(before, task.data, task.config)
    if not len(answers):
        return None
    return float((answers.answer_N == result.answers.answer_N).mean())
