"""One of several processes that train together; started by `torchrun`, used by test_parallel.

    torchrun --nproc-per-node 2 -m tests.lure_core.ranks FOLDER CASE...

Each leaves what it saw in FOLDER, as rank-N.json and rank-N.safetensors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lure_core import checkpoint, learn, parallel
from lure_core.config import Normalisation, Recipe
from lure_core.cycle import CycleData, Progress, Start, run_cycle
from lure_core.feed import open_feed
from lure_core.learn import Learning, Task
from lure_core.precision import choose
from lure_core.types import Split
from tests.lure_core import smooth
from tests.lure_core.making import create_config, create_net, create_samples, of_split

Outcome = tuple[dict[str, Any], dict[str, Tensor]]

CASES: dict[str, dict[str, Any]] = {
    "mlp": {"architecture": "mlp", "count": 50},
    "resnet20s": {"architecture": "resnet20s", "count": 50},
    "options": {"architecture": "resnet20s", "count": 41, "ema": 0.9, "pruning": 0.5},
    "small": {"architecture": "resnet20s", "count": 5, "batch_size": 2},
}
"""The last batch of 50 has two images, that of 41 nine, those of 5 two and three."""

CYCLES: dict[str, dict[str, Any]] = {
    "cycle": {},
    "cycle auto": {
        "recipe": {"old_share": 0.5, "ema": 0.9},
        "unlearn": {"strategy": "auto", "probe_share": 0.2},
    },
    "cycle streamed": {"recipe": {"pruning": 0.5, "l2_init": 1e-3}, "resident_mib": 0},
}
"""Whole cycles, from a parent that is the same everywhere; over 700 images are judged."""


def run(case: str) -> Outcome:
    """A whole cycle; its curve and what it came to in figures, weights and answers in tensors."""
    settings = dict(CYCLES[case])
    recipe = {"epochs": 3, "learning_rate": 0.02} | settings.pop("recipe", {})
    config = create_config(architecture=smooth.NAME, recipe=recipe, **settings)
    judged = of_split(create_samples(700, seed=3), Split.JUDGE)
    data = CycleData([create_samples(70, seed=2)], [create_samples(90, seed=1), judged])
    parent = checkpoint.pack(create_net(architecture=smooth.NAME), config)
    epochs: list[Progress] = []
    result = run_cycle(Start(parent), data, config, epochs.append)
    assert result.unlearn is not None
    assert result.parent_answers is not None
    figures = {
        "loss": [epoch.loss for epoch in epochs if epoch.loss is not None],
        "accuracy": [epoch.accuracy for epoch in epochs if epoch.loss is not None],
        "stages": [epoch.stage for epoch in epochs if epoch.loss is None],
        "best_epoch": result.best_epoch,
        "prequential": result.prequential_accuracy,
        "judged": result.metrics.correct,
        "parent_judged": result.parent_metrics and result.parent_metrics.correct,
        "reset": result.unlearn.reset,
        "flops": result.flops,
        "replayed": result.replayed,
        "ranks": result.environment["ranks"],
        "backend": result.environment["backend"],
    }
    weights = checkpoint.weights_of(result.checkpoint)
    tensors = {f"{case}.{name}": value for name, value in weights.items()}
    for whose, answers in (("own", result.answers), ("parent", result.parent_answers)):
        tensors[f"{case}.{whose}.answer"] = torch.from_numpy(answers.answer_N)
        tensors[f"{case}.{whose}.confidence"] = torch.from_numpy(answers.confidence_N)
    if result.unlearn.mask is not None:
        tensors[f"{case}.mask"] = torch.from_numpy(result.unlearn.mask)
    return figures, tensors


def train(case: str) -> Outcome:
    """Three epochs; the curve in figures, the weights in tensors."""
    settings = dict(CASES[case])
    architecture, count = settings.pop("architecture"), settings.pop("count")
    recipe = Recipe.from_dict({"batch_size": 16, "learning_rate": 0.02, **settings})
    device = torch.device("cpu")
    train = of_split(create_samples(count), Split.TRAIN)
    task = Task(
        train=open_feed([train], [torch.arange(count)], device=device, resident_mib=None),
        select=of_split(create_samples(9, seed=9), Split.SELECT),
        normalisation=Normalisation((0.3,), (0.2,)),
        recipe=recipe,
        epochs=3,
        seed=4,
        precision=choose("fp32", device=device, flops=0),
    )
    # Another seed in each process: that all begin alike is the loop's affair.
    model = task.precision.place(create_net(task.world.rank, architecture))
    learning = Learning.of(model, recipe)
    epochs: list[learn.Epoch] = []
    learn.fit(learning, task=task, on_epoch=epochs.append)
    figures = {
        "loss": [epoch.loss for epoch in epochs],
        "accuracy": [epoch.accuracy for epoch in epochs],
        "seen": learning.seen,
        "best_epoch": learning.best_epoch,
        "types": sorted({type(module).__name__ for module in model.modules()}),
    }
    tensors = {f"{case}.{n}": value.contiguous() for n, value in model.state_dict().items()}
    return figures, tensors


def main() -> None:
    torch.set_num_threads(1)
    world = parallel.start()
    figures: dict[str, Any] = {"rank": world.rank, "size": world.size}
    tensors: dict[str, Tensor] = {}
    for case in sys.argv[2:]:
        figures[case], of_case = run(case) if case in CYCLES else train(case)
        tensors |= of_case
    parallel.stop()
    folder = Path(sys.argv[1])
    (folder / f"rank-{world.rank}.json").write_text(json.dumps(figures))
    save_file(tensors, folder / f"rank-{world.rank}.safetensors")


if __name__ == "__main__":
    main()
