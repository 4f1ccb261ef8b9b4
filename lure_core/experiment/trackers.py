"""Records sent to TensorBoard and Weights & Biases, where they are installed and asked for."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lure_core.errors import ConfigError
from lure_core.experiment.plan import Run
from lure_core.experiment.progress import Listener
from lure_core.experiment.record import Record
from lure_core.experiment.settings import Experiment

WANDB_PROJECT = "lure"


@contextmanager
def opened(settings: Experiment) -> Iterator[list[Listener]]:
    """The trackers asked for; closed at the end, whatever happens.

    Raises:
        ConfigError: One is not installed.
    """
    with ExitStack() as stack:
        trackers: list[Listener] = []
        if settings.tensorboard:
            trackers.append(stack.enter_context(_tensorboard(Path(settings.out) / "tensorboard")))
        if settings.wandb:
            trackers.append(stack.enter_context(_wandb(settings)))
        yield trackers


def scalars(record: Record) -> dict[str, float]:
    """What of a record can be drawn over the chunks."""
    figures = {
        "accuracy/test": record.accuracy,
        "accuracy/train": record.train_accuracy,
        "accuracy/prequential": record.prequential_accuracy,
        "accuracy/gap": record.generalisation_gap,
        "calibration/ece": record.ece,
        "cost/price_flops": record.price,
        "cost/steps": record.steps,
        "cost/seconds": sum(record.seconds.values()),
        "unlearn/reset_share": _reset_share(record.unlearn),
        "unlearn/mask_overlap": record.mask_overlap,
    }
    return {name: float(value) for name, value in figures.items() if value is not None}


def _reset_share(report: Mapping[str, Any] | None) -> float | None:
    return report["reset"] / report["counted"] if report and report["counted"] else None


class TensorBoard:
    """A folder of event files for each run; steps are chunks."""

    def __init__(self, folder: Path, writer: Any) -> None:
        self._folder, self._make, self._open = folder, writer, dict[Run, Any]()

    def begin(self, todo: Sequence[Run]) -> None:
        """Nothing to do: a run's folder is made with its first record."""

    def tell(self, record: Record) -> None:
        if record.run not in self._open:
            # Events of an interrupted life from this chunk on are hidden by the new ones.
            self._open[record.run] = self._make(
                str(self._folder / record.run.id), purge_step=record.chunk
            )
        writer = self._open[record.run]
        for name, value in scalars(record).items():
            writer.add_scalar(name, value, record.chunk)
        if record.last:
            self._open.pop(record.run).close()

    def close(self) -> None:
        for writer in self._open.values():
            writer.close()


def run_id(folder: Path, run: Run) -> str:
    """Of a run in W&B: unlike those of all other folders and runs, and always the same."""
    return hashlib.sha256(f"{folder.resolve()}\n{run.id}".encode()).hexdigest()[:32]


class WeightsAndBiases:
    """A run of W&B for each run of ours, all in one group; steps are chunks."""

    def __init__(self, settings: Experiment, wandb: Any) -> None:
        self._settings, self._wandb, self._open = settings, wandb, dict[Run, Any]()

    def begin(self, todo: Sequence[Run]) -> None:
        """Nothing to do: a run is begun with its first record."""

    def tell(self, record: Record) -> None:
        if record.run not in self._open:
            self._open[record.run] = self._begun(record.run)
        run = self._open[record.run]
        run.log(scalars(record), step=record.chunk)
        if record.last:
            self._open.pop(record.run).finish()

    def close(self) -> None:
        for run in self._open.values():
            run.finish()

    def _begun(self, run: Run) -> Any:
        folder = Path(self._settings.out)
        facts = {"method": run.method, "budget": run.budget, "noise": run.noise, "seed": run.seed}
        return self._wandb.init(
            project=WANDB_PROJECT,
            group=folder.name,
            name=run.id,
            # The same after a kill, so that its curves are gone on with instead of begun beside.
            id=run_id(folder, run),
            resume="allow",
            dir=str(folder),
            config={**self._settings.to_dict(), **facts},
            reinit="create_new",  # with several jobs several runs are open at once
        )


@contextmanager
def _tensorboard(folder: Path) -> Iterator[TensorBoard]:
    if find_spec("tensorboard") is None:
        raise ConfigError("experiment.tensorboard needs TensorBoard: pip install tensorboard")
    make = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    tracker = TensorBoard(folder, make)
    try:
        yield tracker
    finally:
        tracker.close()


@contextmanager
def _wandb(settings: Experiment) -> Iterator[WeightsAndBiases]:
    if find_spec("wandb") is None:
        raise ConfigError(
            "experiment.wandb needs Weights & Biases: pip install wandb; without an account "
            "WANDB_MODE=offline keeps everything here"
        )
    tracker = WeightsAndBiases(settings, importlib.import_module("wandb"))
    try:
        yield tracker
    finally:
        tracker.close()
