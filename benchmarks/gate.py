"""How often does the gate refuse what is no worse, and how often does it see what is?

    python benchmarks/gate.py [--draws 2000]

Pairs of models are drawn whose true difference is known, and shown to the gate's rules with their
defaults. Seeded: every run prints the same two tables.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from lure_core.policies import Gate
from worker.gate.pairs import Pairs
from worker.gate.rules import overall
from worker.gate.slices import Slice, each

APART = 0.1  # share of the images that exactly one of the two models answers rightly
CLASSES = 10
GATE = Gate()


def drawn(draws: np.random.Generator, images: int, *, loss: float = 0.0) -> Pairs:
    """Two models on some images; `loss`: the accuracy that the candidate has truly lost."""
    apart = max(APART, loss)
    gained, lost, both = draws.multinomial(
        images, [(apart - loss) / 2, (apart + loss) / 2, 1 - apart]
    ).tolist()
    return Pairs(images, both, gained, lost)


def of_all(draws: np.random.Generator, images: int, loss: float, times: int) -> Counter[str]:
    """How often the rule of the whole came to each outcome."""
    return Counter(overall(drawn(draws, images, loss=loss), GATE).outcome for _ in range(times))


def of_classes(
    draws: np.random.Generator, images: int, loss: float, times: int
) -> tuple[float, float]:
    """How often one of ten classes is refused where the first truly lost so much.

    By the rule, and by the loss that was seen alone.
    """
    refused, seen = 0, 0
    for _ in range(times):
        pairs = [drawn(draws, images, loss=loss if one == 0 else 0.0) for one in range(CLASSES)]
        slices = [Slice(str(one), pair) for one, pair in enumerate(pairs)]
        refused += each("class", slices, 0.1, GATE).outcome == "failed"
        seen += any(pair.lost_more_than(0.1) for pair in pairs)
    return refused / times, seen / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--draws", type=int, default=2000)
    times: int = parser.parse_args().draws
    draws = np.random.default_rng(0)
    print("| judge images | truly lost | passed | unproven | failed |\n" + "| --- " * 5 + "|")
    for images in (100, 250, 1000, 2500):
        for loss in (0.0, 0.01, 0.04):
            count = of_all(draws, images, loss, times)
            shares = " | ".join(f"{count[o] / times:.1%}" for o in ("passed", "unproven", "failed"))
            print(f"| {images} | {loss:.0%} | {shares} |")
    print("\n| images a class | one class lost | refused | by the loss seen alone |")
    print("| --- " * 4 + "|")
    for images in (20, 40, 100):
        for loss in (0.0, 0.3, 0.5):
            refused, seen = of_classes(draws, images, loss, times)
            print(f"| {images} | {loss:.0%} | {refused:.1%} | {seen:.1%} |")


if __name__ == "__main__":
    main()
