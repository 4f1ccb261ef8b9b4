"""What an archive may cost, what it holds, and one item of it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

MAX_LABEL_CHARACTERS = 255


@dataclass(frozen=True)
class Limits:
    """Bounds on one upload, all checked before anything is unpacked.

    Attributes:
        max_members: Files in a zip, images in an npz. Python's zip reader takes half a kilobyte
            for each.
        max_member_bytes: One unpacked file of a zip, one image of an npz.
        max_total_bytes: Everything unpacked.
        max_ratio: Unpacked over packed bytes, of each member and of all, where more than a
            mebibyte comes out.
        max_directory_bytes: The zip's directory of names, read into memory at once.
    """

    max_members: int = 200_000
    max_member_bytes: int = 64 << 20
    max_total_bytes: int = 8 << 30
    max_ratio: int = 200
    max_directory_bytes: int = 32 << 20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Listing:
    """An envelope that was found safe.

    Attributes:
        kind: Which reader its items need.
        items: Images, counting those that `items` will yield with an error.
        uncompressed_bytes: Declared size of everything in it.
        classes: Sorted names of the classes; None for an npz, whose labels are not unpacked yet.
        top: The one folder that wraps all class folders, if any.
    """

    kind: Literal["zip", "table", "npz"]
    items: int
    uncompressed_bytes: int
    classes: tuple[str, ...] | None
    top: str | None = None


@dataclass(frozen=True)
class Item:
    """One labelled image as it was sent.

    Attributes:
        name: Where it stands in the archive: the member's name, or `images[7]`.
        label: The class name; empty where it could not be found.
        image: Encoded bytes, or uint8 [H,W,C]; None where `error` is set.
        error: Why it is refused.
    """

    name: str
    label: str
    image: bytes | npt.NDArray[np.uint8] | None
    error: str | None = None


def class_name(text: str) -> tuple[str, str | None]:
    """Normalise a class name to NFC and say what is wrong with it, if anything is."""
    name = unicodedata.normalize("NFC", text)
    if not name.strip():
        return "", "the class name is empty"
    if len(name) > MAX_LABEL_CHARACTERS:
        return "", f"the class name is longer than {MAX_LABEL_CHARACTERS} characters"
    if not name.isprintable():
        return "", "the class name holds characters that cannot be printed"
    return name, None


def shown(text: str) -> str:
    """Make a name fit for a message: bounded and printable."""
    head = "".join(c if c.isprintable() else "\ufffd" for c in text[:200])
    return head + "…" if len(text) > 200 else head
