"""Bytes or arrays in, uint8 pixels [C,H,W] of the stream's shape out: the one place.

Admission, predictions and experiments all come through here, so that a model is asked about images
made as those were that it learned from.

The rules:
    - PNG, JPEG, WebP and BMP, recognised by their first bytes, never by a name; of an animation
      the first frame.
    - EXIF orientation is applied; transparency lies on black; 16-bit grey is scaled to 8 bits;
      CMYK becomes RGB.
    - An image *file* becomes grey or RGB as the stream wants it (ITU-R 601 luma one way, three
      equal channels the other). An *array* is taken as it is meant: another channel count than the
      stream's, or one that is neither 1 nor 3, is refused.
    - The shorter side (of a square target) is resized to the target and the centre cropped: the
      largest centred box of the target's shape is resampled in one step, so that no intermediate
      image is bigger than both. The filter is Pillow's BILINEAR, which widens with the reduction
      (no aliasing) and, unlike LANCZOS, never overshoots; BOX would leave blocks when enlarging.
      Where no scaling is needed no pixel changes.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, UnidentifiedImageError

from lure_core.config import InputSpec
from lure_core.errors import BadImage
from lure_core.quiet import quiet_pillow
from lure_core.types import Split

U8 = npt.NDArray[np.uint8]

MAX_PIXELS = 50_000_000
"""Pixels of one encoded image: about 200 MB while it is decoded; today's phones make 48 million."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"%PDF": "PDF",
}
_READABLE = frozenset({"PNG", "JPEG", "WEBP", "BMP"})
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112


def decode(data: bytes, spec: InputSpec | None, *, max_pixels: int = MAX_PIXELS) -> U8:
    """Turn an encoded image into uint8 pixels [C,H,W].

    Args:
        data: One PNG, JPEG, WebP or BMP file.
        spec: The stream's input. None gives the image at its own size with its own channels: 1 for
            greyscale modes, 3 for all others (the first chunk of a stream fixes the spec so).
        max_pixels: Bound on height x width, checked on the header before anything is decoded.

    Raises:
        BadImage: Whatever is wrong with the bytes; no other exception and no warning leaves here.
    """
    if (found := sniff(data)) is None:
        raise BadImage(f"{_describe(data)}, not an image; PNG, JPEG, WebP or BMP is needed")
    try:
        with quiet_pillow():
            image = _upright(_open(data, found, max_pixels))
    except BadImage:
        raise
    except Image.DecompressionBombError as fault:  # Pillow's own bound, far above ours
        raise BadImage(
            f"the {found} is too large; at most {max_pixels} pixels are decoded"
        ) from fault
    except UnidentifiedImageError as fault:  # its text holds a memory address
        raise BadImage(f"the {found} is damaged: its header cannot be read") from fault
    except Exception as fault:  # hostile bytes make Pillow raise nearly anything
        raise BadImage(f"the {found} is damaged or cut off: {_printable(str(fault))}") from fault
    return _planes(image if spec is None else _fitted(image.convert(_mode(spec)), spec))


def announced_pixels(data: bytes) -> int:
    """Read width x height from an image's header, without decoding; 0 where `decode` will refuse.

    For a bound on many images together, before any is decoded.
    """
    if (found := sniff(data)) is None:
        return 0
    try:
        with quiet_pillow(), Image.open(io.BytesIO(data), formats=[found]) as image:
            return image.width * image.height
    except Exception:  # noqa: BLE001 - as in decode, which then says why
        return 0


def fit(array: npt.NDArray[np.generic], spec: InputSpec | None) -> U8:
    """Bring an array [H,W,C] or [H,W] to the stream's size as [C,H,W]; its channels must fit.

    Raises:
        BadImage: Not uint8, another rank, empty, or a channel count that is not the stream's.
    """
    if array.dtype != np.uint8:
        raise BadImage(f"the array's values are {array.dtype}, not uint8")
    if array.ndim not in (2, 3) or array.size == 0:
        raise BadImage(f"the array's shape is {list(array.shape)}, not [height, width, channels]")
    pixels_HWC = array if array.ndim == 3 else array[:, :, None]
    channels = pixels_HWC.shape[2]
    if channels not in (1, 3):
        raise BadImage(f"the array has {channels} channels; 1 (grey) or 3 (RGB) are known")
    if spec is not None and channels != spec.channels:
        raise BadImage(f"wrong channel count: the array has {channels}, the stream {spec.channels}")
    if spec is None or pixels_HWC.shape[:2] == (spec.height, spec.width):
        return np.array(pixels_HWC.transpose(2, 0, 1), dtype=np.uint8, order="C")
    flat = pixels_HWC if channels == 3 else pixels_HWC[:, :, 0]
    return _planes(_fitted(Image.fromarray(np.ascontiguousarray(flat, dtype=np.uint8)), spec))


def sniff(data: bytes) -> str | None:
    """Name the readable image format (PNG, JPEG, WEBP, BMP) that the first bytes announce."""
    found = _signature(data)
    return found if found in _READABLE else None


def split_of(pixels_CHW: U8, select: float = 0.05, judge: float = 0.05) -> Split:
    """Fix an image's role by the SHA-256 of its shape and canonical pixels.

    The same pixels get the same role in every chunk and on every machine, so no image that is
    learned from can also judge. `select` and `judge` are the expected shares, 0…1, together at
    most 1.
    """
    assert min(select, judge) >= 0
    assert select + judge <= 1
    digest = hashlib.sha256("x".join(map(str, pixels_CHW.shape)).encode() + b":")
    digest.update(np.ascontiguousarray(pixels_CHW).data)
    draw = int.from_bytes(digest.digest()[:8], "big") / 2**64
    if draw < judge:
        return Split.JUDGE
    return Split.SELECT if draw < judge + select else Split.TRAIN


def _signature(data: bytes) -> str | None:
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # two letters alone would make a BMP of any text about BMWs
    is_bmp = data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_BYTES
    return "BMP" if is_bmp else None


def _describe(data: bytes) -> str:
    if not data:
        return "this is empty"
    if name := _signature(data):
        return f"this is a {name} file"
    head = data[:512]
    is_text = not any(byte < 9 or 13 < byte < 32 for byte in head)
    return "this is text" if is_text else "this is unknown data"


def _open(data: bytes, found: str, max_pixels: int) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=[found])
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} is too large; at most {max_pixels} pixels are decoded")
    if width < 1 or height < 1:
        raise BadImage(f"the image has no pixels: {width} x {height}")
    image.load()
    return image


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    plain = _grey(image) if image.mode in _GREY_MODES else _rgb(image)
    return plain if turn is None else plain.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1…8; a damaged EXIF block does not spoil a sound image."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - as in decode
        return 1
    return value if isinstance(value, int) else 1


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        key = image.info.get("transparency")
        scaled = (wide * 255 + 32767) // 65535
        return Image.fromarray(np.where(wide == key, 0, scaled).astype(np.uint8))
    if image.mode in ("LA", "La") or "transparency" in image.info:
        grey, alpha = image.convert("LA").split()
        return ImageChops.multiply(grey, alpha)  # value x alpha / 255: laid on black
    return image.convert("L")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        *colours, alpha = image.convert("RGBA").split()
        return Image.merge("RGB", [ImageChops.multiply(colour, alpha) for colour in colours])
    if image.mode not in ("RGB", "P", "CMYK", "YCbCr", "HSV", "LAB"):
        raise BadImage(f"pixels of the kind {image.mode} are not known; save it as grey or RGB")
    return image.convert("RGB")


def _mode(spec: InputSpec) -> str:
    return "L" if spec.channels == 1 else "RGB"


def _fitted(image: Image.Image, spec: InputSpec) -> Image.Image:
    width, height = image.size
    scale = min(width / spec.width, height / spec.height)  # source pixels for one of the target
    if scale == 1:
        left, top = (width - spec.width) // 2, (height - spec.height) // 2
        return image.crop((left, top, left + spec.width, top + spec.height))
    # half of what the box leaves over; clamped, as rounding may step over the edge by an ulp
    x = max(0.0, (width - spec.width * scale) / 2)
    y = max(0.0, (height - spec.height * scale) / 2)
    size = (spec.width, spec.height)
    return image.resize(size, Image.Resampling.BILINEAR, box=(x, y, width - x, height - y))


def _planes(image: Image.Image) -> U8:
    pixels_HWC = np.asarray(image).reshape(image.height, image.width, -1)
    return np.array(pixels_HWC.transpose(2, 0, 1), dtype=np.uint8, order="C")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:200]) or "no reason given"
