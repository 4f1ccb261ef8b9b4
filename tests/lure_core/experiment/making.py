"""Small experiments on digits, and records that no run has made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lure_core.experiment.plan import Run
from lure_core.experiment.record import Record
from lure_core.experiment.settings import Experiment


def create_experiment(out: Path | str = "unused", **others: Any) -> Experiment:
    """Three chunks of 60 digits, a perceptron, two epochs: a tenth of a second a run."""
    recipe = {"epochs": 2, "learning_rate": 0.1, "augmentation": "none", "precision": "fp32"}
    plain = {
        "dataset": "digits",
        "architecture": "mlp",
        "chunks": 3,
        "chunk_size": 60,
        "test_images": 100,
        "methods": ["lure"],
        "recipe": recipe | others.pop("recipe", {}),
        "device": "cpu",
        "threads": 1,
        "out": str(out),
        "controls": False,
    }
    return Experiment.from_dict(plain | others)


def create_record(run: Run | None = None, chunk: int = 1, **others: Any) -> Record:
    """Of 100 test images."""
    run = run or Run("lure", 0)
    accuracy = others.pop("accuracy", 0.5)
    plain = {
        "method": run.method,
        "seed": run.seed,
        "budget": run.budget,
        "noise": run.noise,
        "chunk": chunk,
        "chunks": 3,
        "accuracy": accuracy,
        "per_class": {"a": accuracy, "b": None},
        "ece": 0.1,
        "test_images": 100,
        "errors": round(100 * (1 - accuracy)),
        "images_seen": 60 * chunk,
        "train_images": 50 * chunk,
        "trained_images": 100 * chunk,
        "steps": 2 * chunk,
        "epochs": 2,
        "best_epoch": 2,
        "flops": {"relearn": 1000 * chunk},
        "price": 1000 * chunk,
        "seconds": {"relearn": 1.0, "measure": 9.0},
        "prequential_accuracy": None if chunk == 1 else 0.4,
        "train_accuracy": accuracy + 0.1,
        "generalisation_gap": 0.1,
        "earlier": [0.5 + 0.1 * old for old in range(chunk)],
        "unlearn": None,
        "mask_overlap": None,
        "mask_chance": None,
        "replayed_images": 0,
        "calibration": None,
        "robustness": None,
        "environment": {"device": "cpu"},
    }
    return Record.from_dict(plain | others)


def create_run(run: Run, *accuracies: float, **others: Any) -> list[Record]:
    """A finished run's records, one for each accuracy."""
    return [
        create_record(run, chunk, accuracy=accuracy, chunks=len(accuracies), **others)
        for chunk, accuracy in enumerate(accuracies, start=1)
    ]
