"""Whether an export answers as the version does, on images of the version's own chunks.

Legend: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from lure_core.chunkfile import open_chunk
from lure_core.types import Split

LEAST_AGREEMENT = 0.99  # of the answers; below it the export is refused
_AT_LEAST = 100  # images; where fewer judge, others of the same chunks are asked about too
_AT_MOST = 1000
_BATCH = 32
_BUDGET_S = 60.0  # a large model is asked about fewer images, one batch at least

Answers = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


def answers_of(path: Path) -> Callable[[Images], Answers]:
    """What an ONNX file answers to uint8 images [N,C,H,W], on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()

    def ask(images: Images) -> Answers:
        [answers] = session.run(None, {given.name: images})
        return np.asarray(answers, np.float32)

    return ask


def compare(
    export: Callable[[Images], Answers],
    version: Callable[[Images], Answers],
    chunks: Sequence[Path],
) -> dict[str, Any]:
    """Ask both about the same images.

    Returns:
        `agreement`, the share of images with the same best class; `images`, how many were asked
        about, `judge` of them never learned from; `max_abs_difference` of their probabilities.
    """
    judge, other = _images(chunks)
    images = [*judge, *other[: max(0, _AT_LEAST - len(judge))]][:_AT_MOST]
    began = time.monotonic()
    same = asked = 0
    difference = 0.0
    for start in range(0, len(images), _BATCH):
        if asked and time.monotonic() - began > _BUDGET_S:
            break
        batch = np.stack(images[start : start + _BATCH])
        ours, theirs = version(batch), export(batch)
        same += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        difference = max(difference, float(np.abs(ours - theirs).max()))
        asked += len(batch)
    return {
        "agreement": same / asked if asked else 0.0,
        "images": asked,
        "judge": min(asked, len(judge)),
        "max_abs_difference": difference,
    }


def _images(chunks: Sequence[Path]) -> tuple[list[Images], list[Images]]:
    """Images that judge, and others, as many as can be wanted; mapped, not read."""
    judge: list[Images] = []
    other: list[Images] = []
    for chunk in map(open_chunk, chunks):
        is_judge = chunk.splits == Split.JUDGE
        judge.extend(_first(chunk.images, is_judge, _AT_MOST - len(judge)))
        other.extend(_first(chunk.images, ~is_judge, _AT_LEAST - len(other)))
    return judge, other


def _first(images: Images, chosen: npt.NDArray[np.bool_], count: int) -> Iterator[Images]:
    return (images[row] for row in np.flatnonzero(chosen)[: max(0, count)])
