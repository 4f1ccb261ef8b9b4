"""From the items of an archive to images of one stream: which are kept, which refused and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lure_core import images
from lure_core.archive import Item
from lure_core.config import InputSpec
from lure_core.errors import BadImage
from lure_core.types import Split
from store.classes import in_order
from worker.errors import Refused
from worker.ordered import ordered_map

U8 = npt.NDArray[np.uint8]
MAX_REPORTED = 1000
_LEAST_SIDE, _MOST_SIDE = 8, 1024  # of lure_core.config.InputSpec


@dataclass(frozen=True)
class Decoded:
    """An item as an image [C,H,W] of the stream, or the reason why it is none.

    `is_unseen`: the stream's class list, if there is one, does not have its label.
    """

    name: str
    label: str
    pixels: U8 | None
    reason: str | None = None
    is_unseen: bool = False


@dataclass(frozen=True)
class Decoder:
    """Decodes items on some threads.

    Args:
        spec: The stream's input; None: each image in its own size and channels.
        classes: The stream's class list; None: any label is taken.
    """

    spec: InputSpec | None
    classes: frozenset[str] | None
    threads: int

    def each(self, items: Iterable[Item]) -> Iterator[Decoded]:
        """Decode in the order of the items, a few ahead."""
        return ordered_map(self._one, items, threads=self.threads)

    def _one(self, item: Item) -> Decoded:
        if item.image is None:
            return Decoded(item.name, item.label, None, item.error or "it cannot be read")
        if self.classes is not None and item.label not in self.classes:
            reason = f"label {item.label!r} is not in the stream's fixed class list"
            return Decoded(item.name, item.label, None, reason, is_unseen=True)
        try:
            if isinstance(item.image, bytes):
                return Decoded(item.name, item.label, images.decode(item.image, self.spec))
            return Decoded(item.name, item.label, images.fit(item.image, self.spec))
        except BadImage as bad:
            return Decoded(item.name, item.label, None, str(bad))


def common_shape(decoded: Iterable[Decoded]) -> InputSpec | None:
    """Choose a stream's input from its first chunk, each image decoded in its own size.

    It is the shape (channels, height, width) that most images have; of equals the one that comes
    first. Sides beyond 8…1024 pixels are scaled into that range, the other side with them. Whoever
    wants another size, such as a smaller one for photographs, states it when making the stream.

    Returns:
        None when there is no image.
    """
    shapes = Counter(one.pixels.shape for one in decoded if one.pixels is not None)
    if not shapes:
        return None
    (channels, height, width), _ = shapes.most_common(1)[0]  # of equals, the first counted
    scale = min(1.0, _MOST_SIDE / max(height, width))
    scale = max(scale, _LEAST_SIDE / min(height, width))
    return InputSpec(channels, _side(height * scale), _side(width * scale))


def _side(exact: float) -> int:
    return min(_MOST_SIDE, max(_LEAST_SIDE, round(exact)))


@dataclass
class Roster:
    """Bounds the classes of a list that is still open: who comes first has the place.

    Args:
        listed: The stream's class list; None before its first chunk.
        taken: The classes that have a place: those, and what is admitted and not yet learned.
        most: Places in all.
    """

    listed: frozenset[str] | None
    taken: set[str]
    most: int

    def check(self, one: Decoded) -> Decoded:
        """The item as it is, or refused where its class has no place any more."""
        if one.pixels is None:
            return one
        is_unseen = self.listed is not None and one.label not in self.listed
        if one.label not in self.taken and len(self.taken) >= self.most:
            reason = f"label {one.label!r} would be one class more than the {self.most} allowed"
            return Decoded(one.name, one.label, None, reason, is_unseen=is_unseen)
        self.taken.add(one.label)
        return replace(one, is_unseen=is_unseen)


@dataclass
class Tally:
    """Counts what is kept and what is refused, for the admission report."""

    classes: Counter[str] = field(default_factory=Counter)
    splits: Counter[Split] = field(default_factory=Counter)
    unseen: set[str] = field(default_factory=set)
    refusals: list[dict[str, str]] = field(default_factory=list)
    refused: int = 0

    def keep(self, one: Decoded, split: Split) -> None:
        self.classes[one.label] += 1
        self.splits[split] += 1
        self._see(one)

    def refuse(self, one: Decoded) -> None:
        self.refused += 1
        self._see(one)
        if len(self.refusals) < MAX_REPORTED:
            self.refusals.append({"name": one.name, "reason": one.reason or ""})

    def _see(self, one: Decoded) -> None:
        if one.is_unseen:
            self.unseen.add(one.label)

    @property
    def images(self) -> int:
        return self.classes.total()

    def class_list(self) -> list[str]:
        """The labels in the order of the head."""
        return in_order(self.classes)

    def check(self, *, fixes_classes: bool) -> None:
        """Refuse a chunk from which nothing can be learned.

        Raises:
            Refused: No item is good; none of the good ones is for training; or the class list
                would be fixed for ever with a single class in it.
        """
        if not self.images:
            first = self.refusals[0] if self.refusals else {"name": "", "reason": "it is empty"}
            raise Refused(f"no item is a good image; the first: {first['name']}: {first['reason']}")
        if fixes_classes and len(self.classes) < 2:
            raise Refused(
                f"all {self.images} images are of the class {self.class_list()[0]!r}; the first"
                " chunk fixes the stream's class list, which needs at least two classes: send"
                " images of two, or state the classes when making the stream"
            )
        if not self.splits[Split.TRAIN]:
            raise Refused(
                f"none of the {self.images} images is for training, all are held out to choose"
                " and to judge; send them in a larger chunk"
            )

    def report(self) -> dict[str, Any]:
        """The admission report as it is stored."""
        return {
            "images": self.images,
            "refused": self.refused,
            "classes": {label: self.classes[label] for label in self.class_list()},
            "unseen_classes": sorted(self.unseen),
            "splits": {split.name.lower(): self.splits[split] for split in Split},
            "items": self.refusals,
            "items_omitted": self.refused - len(self.refusals),
        }
