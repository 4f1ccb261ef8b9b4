"""CIFAR-10 and CIFAR-100 in the layout in which they are published, and torchvision leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lure_core.config import InputSpec
from lure_core.errors import ConfigError
from lure_core.experiment import unpickle
from lure_core.experiment.datasets.absent import folder_of, missing
from lure_core.experiment.datasets.source import Source, reader

_PAGE = "It is published at https://www.cs.toronto.edu/~kriz/cifar.html (the python version)."


@dataclass(frozen=True)
class _Layout:
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str


_LAYOUTS = {
    "cifar10": _Layout(
        "cifar-10-batches-py",
        tuple(f"data_batch_{part}" for part in range(1, 6)),
        "test_batch",
        "batches.meta",
        "labels",
        "label_names",
    ),
    "cifar100": _Layout(
        "cifar-100-python", ("train",), "test", "meta", "fine_labels", "fine_label_names"
    ),
}


def load(dataset: str, root: str | None) -> Source:
    """Read "cifar10" or "cifar100", from the folder that holds theirs or from theirs itself."""
    layout = _LAYOUTS[dataset]
    folder = _folder(dataset, layout, root)
    names = unpickle.read(folder / layout.meta).get(layout.names)
    if not isinstance(names, list) or not names:
        raise ConfigError(f"experiment.data: {folder / layout.meta} has no {layout.names}")
    classes = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    train = [_batch(folder / part, layout, len(classes)) for part in layout.train]
    test_images, test_labels = _batch(folder / layout.test, layout, len(classes))
    return Source(
        dataset,
        classes,
        InputSpec(3, 32, 32),
        torch.cat([labels for _, labels in train]),
        reader(torch.cat([images for images, _ in train])),
        test_labels,
        reader(test_images),
        sizes=tuple((folder / n).stat().st_size for n in (*layout.train, layout.test)),
    )


def _folder(dataset: str, layout: _Layout, root: str | None) -> Path:
    files = (*layout.train, layout.test, layout.meta)
    holds = f"{layout.folder}/ with the files {', '.join(files)}"
    path = folder_of(root, dataset=dataset, holds=holds, source=_PAGE)
    folder = path if path.name == layout.folder else path / layout.folder
    absent = [name for name in files if not (folder / name).is_file()]
    if len(absent) == len(files):
        raise missing(path, dataset=dataset, holds=holds, source=_PAGE)
    if absent:
        raise ConfigError(f"experiment.data: {folder} lacks {', '.join(absent)}. {_PAGE}")
    return folder


def _batch(path: Path, layout: _Layout, classes: int) -> tuple[Tensor, Tensor]:
    """Images uint8 [n, 3, 32, 32] and labels int64 [n] of one file."""
    batch = unpickle.read(path)
    data, listed = batch.get("data"), batch.get(layout.labels)
    if not _are_pixels(data) or not _are_labels(listed, len(data), classes):
        raise ConfigError(
            f"experiment.data: {path} should have data, uint8 [n, 3072], "
            f"and {layout.labels}, n numbers below {classes}"
        )
    images = torch.from_numpy(np.array(data)).view(-1, 3, 32, 32)
    return images, torch.tensor(listed, dtype=torch.int64)


def _are_pixels(data: Any) -> TypeGuard[npt.NDArray[np.uint8]]:
    return isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == 3 * 32 * 32


def _are_labels(listed: Any, count: int, classes: int) -> bool:
    return (
        isinstance(listed, list)
        and len(listed) == count
        and all(type(label) is int and 0 <= label < classes for label in listed)
    )
