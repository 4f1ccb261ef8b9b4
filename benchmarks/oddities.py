"""What the oddities of the published LURE code do, measured where that is cheap.

    python benchmarks/oddities.py [--data FOLDER] [--architecture resnet20s] [--images 1500]
        [--epochs 8] [--seed 0]

One parent is trained on the first chunk; then weights are chosen for reset in the published way and
in ours, one difference at a time, and compared. FOLDER holds zip files of images, a folder a class
(CIFAR-10); without it the chunks are scikit-learn's digits. `docs/paper-vs-code.md` has the
results and what they mean.

Needs torch, torchvision, numpy, safetensors and pillow.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # a plain checkout, nothing installed

import torch
from torch import Tensor, nn

from lure_core import checkpoint, models, snip, unlearn
from lure_core.augment import augment
from lure_core.config import CycleConfig, InputSpec, Recipe, Unlearn
from lure_core.cycle import CycleData, Start, run_cycle
from lure_core.data import Batches, normalisation
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import ChunkStream, open_stream
from lure_core.rng import generator
from lure_core.types import Split
from lure_core.unlearn.subset import draw

Row = tuple[str, str]
SHARE = 0.2
ARCHITECTURES = ("resnet18", "resnet20s", "resnet50")


@dataclass(frozen=True)
class Bench:
    """A trained parent, what it learned from, and what is new."""

    parent: nn.Module
    fresh: nn.Module
    first: Batches
    new: Batches


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--architecture", default="resnet20s")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    bench = _bench(args)
    images = len(bench.new.samples)
    print(f"{args.architecture}, chunks of {images} training images, {args.epochs} epochs\n")
    _table("own width over the published redraw's", widths())
    _table("chosen for reset", choices(bench, args.seed))
    _table("reset", consequences(bench, args.seed))
    _table("parameters found by their names; by structure", names())


def _bench(args: argparse.Namespace) -> Bench:
    stream = open_stream(_experiment(args), seed=args.seed, noise=0.0)
    by = normalisation(*stream.chunks[:1])
    first, new = (Batches(chunk.of(Split.TRAIN), by) for chunk in stream.chunks[:2])
    parent = checkpoint.restore(_parent(args, stream, first))
    fresh = models.build(
        args.architecture, classes=len(stream.classes), input=stream.input, seed=args.seed + 1000
    )
    return Bench(parent, fresh, first, new)


def _experiment(args: argparse.Namespace) -> Experiment:
    if args.data is None:
        return Experiment(dataset="digits", architecture=args.architecture)
    return Experiment(
        dataset="zips",
        data=str(args.data),
        architecture=args.architecture,
        chunk_size=args.images,
    )


def _parent(args: argparse.Namespace, stream: ChunkStream, first: Batches) -> checkpoint.Checkpoint:
    config = CycleConfig(
        architecture=args.architecture,
        classes=stream.classes,
        input=stream.input,
        normalisation=first.normalisation,
        recipe=Recipe(epochs=args.epochs),
        unlearn=Unlearn(),
        seed=args.seed,
        device="cpu",
    )
    data = CycleData(new=stream.chunks[:1])
    return run_cycle(Start(), data, config, lambda _: None).checkpoint


def widths() -> Iterator[Row]:
    """How much wider each network's own initialisation is than the published redraw."""
    for architecture in ARCHITECTURES:
        model = models.build(architecture, classes=10, input=InputSpec(3, 32, 32), seed=0)
        ratios = []
        for name in snip.weight_names(model):
            weight = model.get_parameter(name).detach()
            published = 1 / math.sqrt(3 * weight[0].numel())  # He's uniform with a = √5
            ratios.append(float(weight.std()) / published)
        stem, *rest, head = ratios
        inner = f"inner layers {min(rest):.2f} to {max(rest):.2f}, median {median(rest):.2f}"
        yield architecture, f"stem {stem:.2f}, {inner}, head {head:.2f}"


def choices(bench: Bench, seed: int) -> Iterator[Row]:
    """Which weights are reset: the share of one choice that another one makes too."""
    subset, other = (draw(bench.new, Unlearn(), generator(s)).sized(100) for s in (seed, seed + 1))
    few, fewer = (_few(bench.new, s) for s in (seed, seed + 1))
    ours, pair = _chosen(bench, subset), (_chosen(bench, few), _chosen(bench, fewer))
    moved = augment(subset.samples.images, how="crop-flip", generator=generator(seed))
    yield "by chance", f"{SHARE:.1%}"
    yield (
        f"ours ({len(subset.samples)} images); another draw",
        _overlap(ours, _chosen(bench, other)),
    )
    yield "on 100 images of the new data; on another 100", _overlap(*pair)
    for what, choice in {
        "on 100 images of the new data": pair[0],
        "on the first 100 of the first chunk": _chosen(bench, bench.first.take(torch.arange(100))),
        "with BatchNorm in training mode": _chosen(bench, subset, training=True),
        "augmented": _chosen(bench, subset.showing(moved)),
        "Σ|g| over batches of 100": _chosen(bench, subset, how="abs_batch"),
        "Σ|g| over images": _chosen(bench, subset, how="abs_sample"),
        "all of the published ways at once": _official(bench, seed)[0],
    }.items():
        yield f"ours; {what}", _overlap(ours, choice)


def _few(data: Batches, seed: int) -> Batches:
    return data.take(torch.randperm(len(data.samples), generator=generator(seed))[:100])


def _chosen(bench: Bench, on: Batches, *, how: str = "sum", training: bool = False) -> Tensor:
    weights = snip.weight_names(bench.parent)
    scores = snip.saliency(bench.parent, on, names=weights, how=how, training=training)
    total = sum(score.numel() for score in scores.values())
    return _flat(snip.lowest(scores, round(SHARE * total), generator(0)).masks)


def _official(bench: Bench, seed: int) -> tuple[Tensor, snip.Chosen]:
    """The published choice: among the conv and linear weights, and as it is."""
    front = bench.first.take(torch.arange(100)).sized(100)
    moved = augment(front.samples.images, how="crop-flip", generator=generator(seed))
    strategy = unlearn.LureOfficial(Unlearn(strategy="lure-official", fraction=SHARE))
    chosen = strategy.choose(bench.parent, front.showing(moved))
    weights = snip.weight_names(bench.parent)
    return _flat({name: chosen.masks[name] for name in weights}), chosen


def _flat(values: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values.values()])


def _overlap(one: Tensor, other: Tensor) -> str:
    return f"{int((one & other).sum()) / max(1, int(one.sum())):.1%}"


def consequences(bench: Bench, seed: int) -> Iterator[Row]:
    """What the choice and the new values do to the parent, before anything is relearned."""
    weights, chosen = _official(bench, seed)
    every = _flat(chosen.masks)
    counted = set(snip.weight_names(bench.parent))
    others = {name: mask for name, mask in chosen.masks.items() if name not in counted}
    yield "published: chosen of what is counted (asked for 20 %)", _share(every)
    yield "published: ties at the border", f"{chosen.ties:,}"
    yield "published: convolution and linear weights reset", _share(weights)
    yield "biases and BatchNorm among the counted", f"{1 - len(weights) / len(every):.2%}"
    yield "biases and BatchNorm: chosen", _share(_flat(others))
    yield "saliency of exactly 0, on the published 100 images", f"{_silent(bench):.2%}"
    yield "parent: accuracy on the new data", _accuracy(bench.parent, bench.new)
    for name in ("lure", "random-reset", "lure-official"):
        model = copy.deepcopy(bench.parent)
        data = bench.first if name == "lure-official" else bench.new
        settings = Unlearn.from_dict({"strategy": name, "fraction": SHARE})
        unlearn.strategy(settings).apply(model, bench.fresh, data, generator(seed))
        yield f"{name}: accuracy before relearning", _accuracy(model, bench.new)
        unlearn.estimate_batchnorm(model, bench.new)
        yield f"{name}, statistics of all new data: the same", _accuracy(model, bench.new)


def _silent(bench: Bench) -> float:
    names = [name for name, _ in bench.parent.named_parameters()]
    front = bench.first.take(torch.arange(100)).sized(100)
    scores = snip.saliency(bench.parent, front, names=names, how="abs_batch", training=True)
    return float((_flat(scores) == 0).float().mean())


def _share(mask: Tensor) -> str:
    return f"{float(mask.float().mean()):.2%}"


@torch.no_grad()
def _accuracy(model: nn.Module, batches: Batches) -> str:
    model.eval()
    hits = sum(int((model(x).argmax(1) == labels).sum()) for x, labels in batches)
    return f"{hits / len(batches.samples):.1%}"


def names() -> Iterator[Row]:
    """How many parameters the published baselines find by the names that they look for."""
    for architecture in ARCHITECTURES:
        model = models.build(architecture, classes=10, input=InputSpec(3, 32, 32), seed=0)
        found = [name for name, _ in model.named_parameters()]
        linear, stage = (sum(word in n for n in found) for word in ("linear", "layer4"))
        head = len(list(models.head(model)[1].parameters()))
        yield f"{architecture}: 'linear'; head", f"{linear}; {head}"
        yield f"{architecture}: 'layer4'; last stage", f"{stage}; {len(models.last_stage(model))}"


def _table(title: str, rows: Iterator[Row]) -> None:
    print(f"| {title} | |\n| --- | --- |")
    for what, figure in rows:
        print(f"| {what} | {figure} |", flush=True)
    print()


if __name__ == "__main__":
    main()
