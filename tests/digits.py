"""scikit-learn's 1,797 real handwritten digits, as the service's clients would send them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

_bunch = load_digits()
images: np.ndarray = np.round(_bunch.images * (255 / 16)).astype(np.uint8)  # [1797, 8, 8]
labels: np.ndarray = _bunch.target.astype(np.int64)


def png(pixels: np.ndarray) -> bytes:
    """One image as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def digits_zip(indices: Sequence[int], extra: dict[str, bytes] | None = None) -> bytes:
    """Those digits as a zip in ImageFolder layout, and further members as they are given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in indices:
            member = zipfile.ZipInfo(f"{labels[index]}/{index:04d}.png")
            archive.writestr(member, png(images[index]))
        for name, data in (extra or {}).items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def digits_npz(indices: Sequence[int]) -> bytes:
    """Those digits as an .npz of `images` (uint8 NHWC) and `labels`."""
    chosen = np.asarray(indices)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images[chosen][..., None], labels=labels[chosen])
    return buffer.getvalue()
