"""Images a second of one process with all cores, beside ranks that share them.

    python -m benchmarks.ranks [--ranks 2] [--repeats 3] [--models resnet20s resnet18] [--json FILE]

The same model learns the same images in the same batches of 64 at 32 px: in one process with a
thread for each core, and in ranks that exchange by gloo and have so many threads less. The two
take turns, each in processes of its own, and the median of the repeats counts; of a process the
median of its epochs but the first. With GPUs, a GPU for each rank and NCCL.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from lure_core import learn, models, parallel, precision
from lure_core.config import InputSpec, Normalisation, Recipe
from lure_core.data import Samples
from lure_core.feed import open_feed
from lure_core.models.cost import forward_flops
from lure_core.rng import generator

SPEC = InputSpec(channels=3, height=32, width=32)
CLASSES = 10
IMAGES = {"resnet20s": 1024, "resnet18": 192}
EPOCHS = 4


def main() -> None:
    options = parse()
    if options.measure is not None:
        measure(options)
        return
    rows = [beside(name, options) for name in options.models]
    report(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=IMAGES, default=list(IMAGES))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # where to, in one rank
    return parser.parse_args()


def beside(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both in turn: whatever else the machine does slows both."""
    alone, together = [], []
    for _ in range(options.repeats):
        alone.append(run(name, 1, options.epochs))
        together.append(run(name, options.ranks, options.epochs))
    return {
        "model": name,
        "ranks": options.ranks,
        "backend": together[0]["backend"],
        "alone": statistics.median(one["images_per_s"] for one in alone),
        "together": statistics.median(one["images_per_s"] for one in together),
        "ratio": statistics.median(
            b["images_per_s"] / a["images_per_s"] for a, b in zip(alone, together, strict=True)
        ),
        "threads": [alone[0]["threads"], together[0]["threads"]],
        "each": {"alone": alone, "together": together},
    }


def run(name: str, ranks: int, epochs: int) -> dict[str, Any]:
    """What the first of so many processes measured."""
    threads = max(1, (os.cpu_count() or 1) // ranks)
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    if sys.platform == "linux":
        env.setdefault("GLOO_SOCKET_IFNAME", "lo")
    start = [] if ranks == 1 else ["torch.distributed.run", "--standalone", "--nproc-per-node"]
    start += [] if ranks == 1 else [str(ranks), "-m"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measured.json"
        told = ["--models", name, "--epochs", str(epochs), "--measure", str(file)]
        command = [sys.executable, "-m", *start, "benchmarks.ranks", *told]
        subprocess.run(command, env=env, check=True)
        found: dict[str, Any] = json.loads(file.read_text())
    return found


def measure(options: argparse.Namespace) -> None:
    """In one of the processes: learn, and let the first one write how fast."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    world = parallel.start()
    (name,) = options.models
    speeds = [epoch.images_per_s for epoch in trained(name, options.epochs)]
    told = {
        "images_per_s": statistics.median(speeds[1:]) if world.rank == 0 else None,
        "threads": torch.get_num_threads(),
        **parallel.environment(),
    }
    parallel.stop()
    if world.rank == 0:
        options.measure.write_text(json.dumps(told))


def trained(name: str, epochs: int) -> list[learn.Epoch]:
    """The epochs, as the first process hears of them."""
    draws = generator(0)
    count, shape = IMAGES[name], (SPEC.channels, SPEC.height, SPEC.width)
    samples = Samples(
        torch.randint(0, 256, (count, *shape), generator=draws, dtype=torch.uint8),
        torch.randint(0, CLASSES, (count,), generator=draws),
        torch.zeros(count, dtype=torch.uint8),
    )
    model = models.build(name, classes=CLASSES, input=SPEC, seed=0)
    device = precision.device_of("auto")
    chosen = precision.choose("auto", device=device, flops=forward_flops(model, SPEC))
    recipe = Recipe(batch_size=64)
    rows = [torch.arange(count)]
    task = learn.Task(
        train=open_feed([samples], rows, device=device, resident_mib=None),
        select=samples.take(torch.empty(0, dtype=torch.long)),
        normalisation=Normalisation((0.5,) * 3, (0.25,) * 3),
        recipe=recipe,
        epochs=epochs,
        seed=0,
        precision=chosen,
    )
    told: list[learn.Epoch] = []
    learn.fit(learn.Learning.of(chosen.place(model), recipe), task=task, on_epoch=told.append)
    return told


def report(rows: list[dict[str, Any]]) -> None:
    print("| model | one process, images/s | ranks, images/s | ratio | how |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        one, each = row["threads"]
        how = f"{one} thread(s); {row['ranks']} ranks of {each}, {row['backend']}"
        speeds = f"{row['alone']:.1f} | {row['together']:.1f}"
        print(f"| {row['model']} | {speeds} | **{row['ratio']:.2f}** | {how} |")


if __name__ == "__main__":
    main()
