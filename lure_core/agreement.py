"""Whether a version may be served in bf16: how often its answer is then that of fp32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lure_core.answers import Answers
from lure_core.checkpoint import load_classifier, restore
from lure_core.config import CycleConfig
from lure_core.data import Samples, gather, spans
from lure_core.models.cost import forward_flops
from lure_core.precision import answering, choose, device_of
from lure_core.types import Checkpoint, Split

_AT_ONCE = 128  # images; each has been answered in batches of about that size before


def measure(
    version: Checkpoint, parts: Sequence[Samples], config: CycleConfig, judged: Answers
) -> dict[str, Any] | None:
    """Answer the judge images once more, in bf16, exactly as they would be served.

    Args:
        version: A finished one.
        parts: The chunks that it was judged on.
        config: Says where.
        judged: What it answered in fp32 (`versions.answers` of the judge images of these chunks).

    Returns:
        `{"bf16": share of equal answers, "images": count, "device": its type}`; None where there
        is no judge image, and where bf16 is not in the hardware or would gain nothing, by the rule
        of training. That rule, and how bf16 rounds, are the device's: it tells nothing of others.
    """
    device = device_of(config.device)
    flops = forward_flops(restore(version), config.input)
    if not len(judged) or not choose("auto", device=device, flops=flops).bf16:
        return None
    precision = answering("bf16", device=device)
    classifier = load_classifier(version.weights, version.sidecar, precision=precision)
    images = gather(parts, Split.JUDGE).images
    answer_N = np.concatenate(
        [classifier.predict(images[span]).argmax(axis=1) for span in spans(len(images), _AT_ONCE)]
    )
    same = float((answer_N == judged.answer_N).mean())
    return {"bf16": same, "images": len(answer_N), "device": device.type}
