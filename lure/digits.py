"""scikit-learn's bundled 1,797 handwritten digits (real scans, 8x8 grey) as files to send.

Only `make demo`, `make smoke` and the benchmarks import this. It needs numpy, Pillow and
scikit-learn (the dependency group `demo`), which the client and the `lure` command do without.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

SEED = 7
BRIGHTEST = 16

# What both `make demo` and `make smoke` learn digits with.
SETTINGS: dict[str, Any] = {
    "architecture": "resnet20s",
    "input": {"channels": 1, "height": 8, "width": 8},
    "recipe": {
        "learn_epochs": 15,
        "epochs": 8,
        "batch_size": 32,
        "learning_rate": 0.05,
        "schedule": "linear",
        "weight_decay": 5e-4,
        "augmentation": "crop",
    },
}


@dataclass(frozen=True)
class Digits:
    """Images uint8 [N, 8, 8] and their labels [N], in a shuffled order that is always the same."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> Digits:
        """Some of them."""
        return Digits(self.images[start:stop], self.labels[start:stop])

    def pngs(self) -> list[bytes]:
        """Each as a PNG file."""
        return [_png(image) for image in self.images]


def load() -> Digits:
    """All of them."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(labels))
    scaled = np.rint(images.reshape(-1, 8, 8) * (255 / BRIGHTEST)).astype(np.uint8)
    return Digits(scaled[order], labels[order].astype(np.int64))


def write(digits: Digits, path: Path) -> Path:
    """A chunk: a .zip of PNG files in ImageFolder layout, or an .npz, by the name's ending."""
    if path.suffix == ".npz":
        np.savez_compressed(path, images=digits.images, labels=digits.labels)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for number, (png, label) in enumerate(zip(digits.pngs(), digits.labels, strict=True)):
            archive.writestr(zipfile.ZipInfo(f"{label}/{number:04}.png"), png)
    return path


def correct(predicted: Sequence[str], digits: Digits) -> int:
    """How many predicted labels are right."""
    return sum(
        one == str(label) for one, label in zip(predicted, digits.labels.tolist(), strict=True)
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
