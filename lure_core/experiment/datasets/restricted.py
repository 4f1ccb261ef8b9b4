"""Restricted ImageNet: 14 balanced classes, each made of a few of ImageNet's thousand.

Source: "balanced" restricted ImageNet of Engstrom et al.'s `robustness` library, as the published
code of LURE uses it; the ranges count ImageNet's synsets in the order of their ids.
"""

from __future__ import annotations

import re
from pathlib import Path

from lure_core.errors import ConfigError
from lure_core.experiment.datasets import folder
from lure_core.experiment.datasets.absent import folder_of, missing
from lure_core.experiment.datasets.folder import Classes
from lure_core.experiment.datasets.source import Source

DEFAULT_SIDE = 224

GROUPS = {
    "bird": (10, 14),
    "turtle": (33, 37),
    "lizard": (42, 46),
    "spider": (72, 76),
    "crab": (118, 122),
    "dog": (200, 204),
    "cat": (281, 285),
    "big cat": (286, 290),
    "beetle": (302, 306),
    "butterfly": (322, 326),
    "monkey": (371, 374),
    "fish": (393, 397),
    "fruit": (948, 952),
    "fungus": (992, 996),
}
"""First and last place, both included, among the thousand synsets sorted by id."""

_SYNSET = re.compile(r"n\d{8}")
_HOLDS = (
    "train/ and val/, each with ImageNet's 1000 synset folders (n01440764 …) "
    "or with 14 folders, one a class"
)
_SOURCE = "ImageNet is given out at https://image-net.org/download.php to those who register."


def load(root: str | None, side: int | None) -> Source:
    """Read restricted ImageNet, 224 px unless told otherwise."""
    name = "restricted-imagenet"
    path = folder_of(root, dataset=name, holds=_HOLDS, source=_SOURCE)
    halves = folder.halves(path)
    if not halves[0]:
        raise missing(path, dataset=name, holds=_HOLDS, source=_SOURCE)
    train, test = (_grouped(half, path) if half else {} for half in halves)
    return folder.build(name, train, test, side or DEFAULT_SIDE)


def _grouped(found: Classes, path: Path) -> Classes:
    names = sorted(found)
    if len(names) == len(GROUPS):
        return found
    if len(names) != 1000 or not all(map(_SYNSET.fullmatch, names)):
        raise ConfigError(
            f"experiment.data: {path} has {len(names)} class folders; "
            f"restricted-imagenet needs {_HOLDS}. {_SOURCE}"
        )
    return {
        group: [file for name in names[first : last + 1] for file in found[name]]
        for group, (first, last) in GROUPS.items()
    }
