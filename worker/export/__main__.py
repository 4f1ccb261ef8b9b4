"""`python -m worker.export JOB.json`: make one export, compare it, write the answer.

The process lives as long as its standard input is open: whoever started it and died takes it along.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path

import onnx
import onnxruntime
import torch

from lure_core import models
from lure_core.checkpoint import load_classifier
from lure_core.types import Checkpoint
from worker.errors import is_of_the_machine
from worker.export import agreement, onnx_file
from worker.export.job import Answer, Job

_NICE = 10  # behind serving and admission
_MAX_WORDS = 2000

log = logging.getLogger(__name__)


def main(path: Path) -> int:
    """Do the job; 0 also where the export is refused, as the answer says; 1: try it again."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.nice(_NICE)
    job = Job.read(path)
    try:
        answer = make(job)
    except Exception as error:
        log.exception("the export raised")
        if is_of_the_machine(error):
            return 1
        # whatever else an exporter raises, it raises again next time
        answer = Answer(None, f"{type(error).__name__}: {str(error)[:_MAX_WORDS]}")
    answer.write(Path(job.answer))
    return 0


def make(job: Job) -> Answer:
    """Write the export, and say how far it agrees with the version."""
    sidecar = json.loads(Path(job.sidecar).read_text())
    models.require(str(sidecar.get("architecture")), allowed=job.packages)
    weights, file = Path(job.weights).read_bytes(), Path(job.file)
    onnx_file.write(Checkpoint(weights, sidecar), file, stream=job.stream, version=job.version)
    version = load_classifier(weights, sidecar).predict
    report = agreement.compare(
        agreement.answers_of(file), version, [Path(chunk) for chunk in job.chunks]
    )
    report |= {
        "opset": onnx_file.OPSET,
        "libraries": {
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    if not report["images"]:
        return Answer(report, "no image of the version's chunks is left to compare it on")
    if report["agreement"] < agreement.LEAST_AGREEMENT:
        words = f"it agrees with the version on {report['agreement']:.1%} of {report['images']}"
        return Answer(report, f"{words} images; {agreement.LEAST_AGREEMENT:.0%} are needed")
    return Answer(report)


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
