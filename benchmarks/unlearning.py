"""What unlearning costs beside the relearning that follows it, and the memory both take.

    python benchmarks/unlearning.py [--models resnet18 resnet20s] [--images 1024] [--json FILE]

For each model, in a process of its own: SNIP and the reset of `lure` on a new chunk of the given
number of images, and one epoch of relearning on as many. The share is that of a cycle which
relearns two such chunks, the fewest that a later cycle can have, for the paper's 50 epochs and for
a fifth of them; every later cycle's is smaller. In seconds, and in counted operations. Beside it
the most memory in use at once, above what the process held before.

Needs torch, torchvision, numpy, safetensors and pillow.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a plain checkout, nothing installed

import torch

from benchmarks.cycle import CLASSES, SPEC, create_images, processor, relearn
from lure_core import data, models, precision, unlearn
from lure_core.config import Recipe, Unlearn
from lure_core.data import Batches
from lure_core.models.cost import forward_flops
from lure_core.rng import generator

CHUNKS = 2
BUDGETS = {"50 epochs": 50, "10 epochs": 10}


def main() -> None:
    options = parse()
    alone = multiprocessing.get_context("spawn")
    rows = []
    for name in options.models:
        with alone.Pool(1) as pool:  # a peak of memory is the whole process's
            rows.append(pool.apply(measure, (name, options)))
    report(rows, options)
    if options.json:
        machine = {"processor": processor(), "threads": options.threads}
        document = {"machine": machine, "libraries": precision.libraries(), "rows": rows}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet20s"])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    samples = create_images(options.images)
    device = precision.device_of(options.device)
    model, fresh = (models.build(name, classes=CLASSES, input=SPEC, seed=seed) for seed in (0, 1))
    flops = forward_flops(model, SPEC)
    chosen = precision.choose("auto", device=device, flops=flops)
    model, fresh = chosen.place(model), chosen.place(fresh)
    batches = Batches(samples.to(device), data.normalisation(samples))
    before = peak_mib(device)
    forgetting, training, report = [], [], None
    for _ in range(options.repeats):
        began = time.perf_counter()
        report = unlearn.strategy(Unlearn()).apply(model, fresh, batches, generator(0))
        synchronise(device)
        forgetting.append(time.perf_counter() - began)
        began = time.perf_counter()
        relearn(model, samples, Recipe(), 1, chosen)
        synchronise(device)
        training.append(time.perf_counter() - began)
    assert report is not None
    unlearn_s, epoch_s = statistics.median(forgetting), CHUNKS * statistics.median(training)
    epoch_flops = 3 * flops * CHUNKS * options.images
    return {
        "model": name,
        "unlearn_s": unlearn_s,
        "epoch_s": epoch_s,
        "subset_images": report.subset_images,
        "share_of_seconds": {k: unlearn_s / (unlearn_s + n * epoch_s) for k, n in BUDGETS.items()},
        "share_of_flops": {
            k: report.flops / (report.flops + n * epoch_flops) for k, n in BUDGETS.items()
        },
        "peak_mib": peak_mib(device) - before,
    }


def peak_mib(device: torch.device) -> float:
    """The most that was ever in use: on a GPU torch's tensors, on the CPU the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    print(f"{processor()}, {options.threads} threads, torch {torch.__version__}")
    shares = "".join(f"{name:>12}" for name in BUDGETS)
    print(f"{'model':<12}{'unlearn s':>10}{'epoch s':>10}{shares}{'peak MiB':>10}")
    for row in rows:
        told = "".join(f"{share:>11.2%} " for share in row["share_of_seconds"].values())
        figures = f"{row['unlearn_s']:>10.2f}{row['epoch_s']:>10.2f}{told}{row['peak_mib']:>10.0f}"
        print(f"{row['model']:<12}{figures}")


if __name__ == "__main__":
    main()
