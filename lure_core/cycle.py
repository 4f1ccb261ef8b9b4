"""One cycle: score the parent on what is new, unlearn, relearn on everything, evaluate.

No input or output but the arguments: whoever calls keeps the bytes, and hears of the cycle through
one callback.
"""

from __future__ import annotations

from collections.abc import Callable

from lure_core import learn, unlearn, versions
from lure_core.answers import Answers
from lure_core.calibration import Temperature
from lure_core.config import CycleConfig
from lure_core.parallel import ALONE, World
from lure_core.replay import CycleData
from lure_core.rng import derive_seed, generator
from lure_core.types import Checkpoint, CycleResult, Progress, Split, Start, UnlearnReport
from lure_core.workbench import Workbench

__all__ = [
    "Checkpoint",
    "CycleData",
    "CycleResult",
    "Progress",
    "Start",
    "calibrate",
    "judge",
    "run_cycle",
]


def run_cycle(
    start: Start, data: CycleData, config: CycleConfig, on_stage: Callable[[Progress], None]
) -> CycleResult:
    """Make the next version.

    Seeded by `config.seed` alone: on one machine the CPU gives the same weights, bit for bit, in
    one go or resumed from any state that `on_stage` was offered. Where `parallel.start` has joined
    several processes, all of them run it with the same arguments and share the work.

    Args:
        start: The parent (None: a first chunk, learned from a fresh model) and a resume state.
        data: Left where it is, and as it is; the training images are copied once.
        config: Everything else.
        on_stage: Called as each stage begins and after every epoch; may raise to stop the cycle.
            Of several processes the first one alone hears of epochs.

    Raises:
        BadCheckpoint: The parent does not fit the settings, or the state belongs to another cycle.
        BadChunkFile: The data do not fit the settings, or hold no training image.
        PeerLost: Of several processes another one is gone.
    """
    bench = Workbench(start, data, config, on_stage)

    if bench.enters("prequential"):
        bench.notes.prequential_accuracy = bench.prequential_accuracy()

    if bench.enters("unlearn"):
        bench.notes.unlearn = _unlearn(bench)

    if bench.enters("relearn"):
        learn.fit(bench.learning, task=bench.task, on_epoch=bench.tell)

    bench.enters("evaluate")
    version = bench.version()
    answers = judge(version, data, config, bench.world)
    parent_answers = judge(start.parent, data, config, bench.world) if start.parent else None
    return bench.result(version, answers, parent_answers)


def judge(
    version: Checkpoint, data: CycleData, config: CycleConfig, among: World = ALONE
) -> Answers:
    """What any version answers to the judge images of all chunks, as `run_cycle` asks its own."""
    return versions.answers(version, data.parts, config, Split.JUDGE, among=among)


def calibrate(version: Checkpoint, data: CycleData, config: CycleConfig) -> Temperature | None:
    """Fit a version's temperature to the select images of all chunks; None without any."""
    return versions.temperature(version, data.parts, config)


def _unlearn(bench: Workbench) -> UnlearnReport:
    config = bench.config
    return unlearn.strategy(config.unlearn, bench.trial).apply(
        bench.learning.model,
        bench.precision.place(versions.fresh(config)),
        bench.to_unlearn_on(),
        generator(derive_seed(config.seed, 0, "unlearn")),
        bench.learning.optimizer,
    )
