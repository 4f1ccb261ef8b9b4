"""Images in folders named after their classes, as torchvision's ImageFolder has them.

Either the class folders themselves, or `train/` and `test/` (else `val/`) with the class folders
in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lure_core.errors import ConfigError
from lure_core.experiment.datasets.absent import folder_of, missing
from lure_core.experiment.datasets.decoding import common_input, file_reader
from lure_core.experiment.datasets.source import Source

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_HOLDS = "class folders with images, or train/ and val/ or test/ with class folders in each"
_SOURCE = "Any images of your own will do: <class>/<file>."

Classes = dict[str, list[Path]]
"""Files by class name, both sorted."""


def load(root: str | None, side: int | None) -> Source:
    """Read class folders; without `test/` and `val/` no image is set apart for testing."""
    path = folder_of(root, dataset="folder", holds=_HOLDS, source=_SOURCE)
    train, test = halves(path)
    if not train:
        raise missing(path, dataset="folder", holds=_HOLDS, source=_SOURCE)
    return build("folder", train, test, side)


def halves(path: Path) -> tuple[Classes, Classes]:
    """Classes to learn from, and those to test on: none where all images lie together."""
    tests = [path / name for name in ("test", "val") if (path / name).is_dir()]
    if tests and (path / "train").is_dir():
        return scan(path / "train"), scan(tests[0])
    return scan(path), {}


def scan(path: Path) -> Classes:
    """Class folders that hold images, at any depth of them; hidden ones are left out."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = {folder.name: _images(folder) for folder in folders}
    return {name: files for name, files in found.items() if files}


def build(name: str, train: Classes, test: Classes, side: int | None) -> Source:
    """A source from files by class.

    Raises:
        ConfigError: The test images have a class of their own, or sizes differ without a `side`.
    """
    classes = tuple(train)
    if unknown := sorted(set(test) - set(train)):
        raise ConfigError(f"experiment.data: the test class {unknown[0]!r} has no training images")
    some = [files[0] for files in train.values()]
    input = common_input(((str(path), path.read_bytes()) for path in some), side)
    read: list[Callable[[Tensor], Tensor]] = []
    labels: list[Tensor] = []
    sizes: list[int] = []
    for half in (train, test):
        paths = [path for files in half.values() for path in files]
        read.append(file_reader(paths, input))
        labels.append(_labels(half, classes))
        sizes += [path.stat().st_size for path in paths]
    whole = Source(name, classes, input, labels[0], read[0], sizes=tuple(sizes))
    return replace(whole, test_labels=labels[1], read_test=read[1]) if test else whole


def _labels(half: Classes, classes: Sequence[str]) -> Tensor:
    number = {name: at for at, name in enumerate(classes)}
    counted = [len(files) for files in half.values()]
    numbers = torch.tensor([number[name] for name in half], dtype=torch.int64)
    return numbers.repeat_interleave(torch.tensor(counted, dtype=torch.int64))


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )
