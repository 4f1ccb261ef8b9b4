"""Small data sets on the disk, in the layouts that are published."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def noise(count: int, side: int, *, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Random pixels, uint8 [N, C, H, W]."""
    draws = np.random.default_rng(seed)
    return draws.integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def write_pickle(path: Path, content: dict[str, Any], protocol: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def write_cifar10(root: Path, *, train: int, test: int) -> np.ndarray:
    """`train` images in five batches and `test` others, labels in turn; gives the train pixels."""
    folder = root / "cifar-10-batches-py"
    images = noise(train, 32)
    labels = [at % 10 for at in range(train)]
    for part, rows in enumerate(np.array_split(np.arange(train), 5), 1):
        batch = {
            "data": images[rows].reshape(len(rows), -1),
            "labels": [labels[row] for row in rows],
            "batch_label": f"training batch {part} of 5",
            "filenames": [f"{row}.png" for row in rows],
        }
        write_pickle(folder / f"data_batch_{part}", batch)
    others = {
        "data": noise(test, 32, seed=1).reshape(test, -1),
        "labels": [at % 10 for at in range(test)],
    }
    write_pickle(folder / "test_batch", others)
    meta = {"label_names": list(CIFAR10), "num_cases_per_batch": train // 5, "num_vis": 3072}
    write_pickle(folder / "batches.meta", meta)
    return images


def write_cifar100(root: Path, *, train: int, test: int) -> np.ndarray:
    folder = root / "cifar-100-python"
    images = noise(train, 32)
    for name, pixels in (("train", images), ("test", noise(test, 32, seed=1))):
        half = {
            "data": pixels.reshape(len(pixels), -1),
            "fine_labels": [at % 100 for at in range(len(pixels))],
            "coarse_labels": [at % 20 for at in range(len(pixels))],
        }
        write_pickle(folder / name, half)
    names = [f"thing {number:02d}" for number in range(100)]
    meta = {"fine_label_names": names, "coarse_label_names": names[:20]}
    write_pickle(folder / "meta", meta)
    return images


def encoded(pixels_CHW: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels_HWC = pixels_CHW.transpose(1, 2, 0).squeeze()
    Image.fromarray(pixels_HWC).save(buffer, format)
    return buffer.getvalue()


def write_folder(
    root: Path, classes: Sequence[str], *, each: int, side: int, suffix: str = ".png"
) -> None:
    """Class folders of noise; a class is told by how bright it is."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        images = noise(each, side, seed=number) // 4 + np.uint8(number * 190 // len(classes))
        format = "PNG" if suffix == ".png" else "JPEG"
        for at, image in enumerate(images):
            (root / name / f"{at:03d}{suffix}").write_bytes(encoded(image, format))


def write_zip(path: Path, labels: Sequence[str], *, side: int = 8, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for at, (label, image) in enumerate(
            zip(labels, noise(len(labels), side, seed=seed), strict=True)
        ):
            archive.writestr(f"{label}/{at:04d}.png", encoded(image))
