"""Encoded bytes and arrays become the stream's pixels, or a reason; never another exception."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lure_core.config import InputSpec
from lure_core.errors import BadImage
from lure_core.images import announced_pixels, decode, fit, sniff, split_of
from lure_core.quiet import quiet_pillow
from lure_core.types import Split

GREY_8 = InputSpec(1, 8, 8)
RGB_8 = InputSpec(3, 8, 8)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["PNG", "BMP"])
def test_an_image_that_fits_keeps_every_pixel(form: str, channels: int) -> None:
    pixels = noise(8, 8, channels)
    found = decode(encoded(Image.fromarray(pixels), form), InputSpec(channels, 8, 8))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(found, pixels.reshape(8, 8, channels).transpose(2, 0, 1))


def test_lossless_webp_keeps_every_pixel() -> None:
    pixels = noise(8, 8, 3)
    found = decode(encoded(Image.fromarray(pixels), "WEBP", lossless=True), RGB_8)
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))


def test_jpeg_is_read_nearly_as_it_was() -> None:
    pixels = np.full((8, 8, 3), (200, 100, 50), dtype=np.uint8)
    found = decode(encoded(Image.fromarray(pixels), "JPEG", quality=95), RGB_8)
    assert np.abs(found.astype(int) - pixels.transpose(2, 0, 1)).max() <= 3


def test_grey_becomes_rgb_for_an_rgb_stream() -> None:
    pixels = noise(8, 8, 1)
    found = decode(encoded(Image.fromarray(pixels)), RGB_8)
    np.testing.assert_array_equal(found, np.stack([pixels] * 3))


def test_rgb_becomes_luma_for_a_grey_stream() -> None:
    pixels = np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8)
    assert decode(encoded(Image.fromarray(pixels)), GREY_8).max() == 76  # 0.299 x 255


def test_transparency_lies_on_black() -> None:
    pixels = np.full((8, 8, 4), (200, 100, 50, 0), dtype=np.uint8)
    pixels[:4, :, 3] = 255
    pixels[0, 0, 3] = 128
    found = decode(encoded(Image.fromarray(pixels)), RGB_8)
    assert found[:, 1, 1].tolist() == [200, 100, 50]
    assert found[:, 7, 7].tolist() == [0, 0, 0]
    assert found[:, 0, 0].tolist() == [100, 50, 25]


def test_grey_with_alpha_is_grey_on_black() -> None:
    pixels = np.full((8, 8, 2), (200, 255), dtype=np.uint8)
    pixels[0, :, 1] = 0
    found = decode(encoded(Image.fromarray(pixels, "LA")), None)
    assert found.shape == (1, 8, 8)
    assert found[0, 0, 0] == 0
    assert found[0, 1, 0] == 200


def test_a_palette_gives_its_colours_and_its_transparency() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    found = decode(encoded(image, transparency=0), None)
    assert found[:, 0, 0].tolist() == [0, 0, 0]
    assert found[:, 5, 5].tolist() == [200, 100, 50]


def test_sixteen_bit_grey_is_scaled_to_eight() -> None:
    pixels = np.zeros((8, 8), dtype=np.uint16)
    pixels[0, :3] = (65535, 257 * 100, 257 * 100 + 129)
    found = decode(encoded(Image.fromarray(pixels)), GREY_8)
    assert found[0, 0, :4].tolist() == [255, 100, 101, 0]


def test_black_and_white_is_grey() -> None:
    image = Image.new("1", (8, 8), 1)
    np.testing.assert_array_equal(decode(encoded(image), None), np.full((1, 8, 8), 255))


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = decode(encoded(image, "JPEG", quality=95), RGB_8)[:, 4, 4]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_image_upright(orientation: int) -> None:
    upright = np.zeros((8, 16), dtype=np.uint8)
    upright[:4, :4] = 250  # a bright corner at the top left
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(Image.fromarray(np.ascontiguousarray(turned)), exif=exif), None)
    np.testing.assert_array_equal(found[0], upright)


def test_a_broken_exif_block_does_not_spoil_a_sound_image() -> None:
    pixels = noise(8, 8, 3)
    data = encoded(Image.fromarray(pixels), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    np.testing.assert_array_equal(decode(data, RGB_8), pixels.transpose(2, 0, 1))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((9, 8, 7), (90, 80, 70))]
    data = encoded(frames[0], save_all=True, append_images=frames[1:])
    assert decode(data, RGB_8)[:, 0, 0].tolist() == [9, 8, 7]


def test_the_shorter_side_is_resized_and_the_centre_cropped() -> None:
    pixels = np.zeros((16, 48), dtype=np.uint8)
    pixels[:, 16:32] = 255
    found = decode(encoded(Image.fromarray(pixels)), GREY_8)
    assert found.shape == (1, 8, 8)
    assert found[:, :, 1:7].min() == 255  # the edge columns see a little of what lies outside


def test_cropping_alone_changes_no_pixel() -> None:
    pixels = noise(8, 13, 3)
    found = decode(encoded(Image.fromarray(pixels)), RGB_8)
    np.testing.assert_array_equal(found, pixels[:, 2:10].transpose(2, 0, 1))


def test_reduction_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    found = decode(encoded(Image.fromarray(stripes)), GREY_8)
    assert np.abs(found.astype(int) - 127).max() <= 8


def test_without_a_spec_an_image_keeps_its_size() -> None:
    assert decode(encoded(Image.fromarray(noise(5, 7, 3))), None).shape == (3, 5, 7)


@pytest.mark.parametrize("size", [(1, 20000), (20000, 1), (9, 1000)])
def test_odd_shapes_cost_no_huge_intermediate(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("L", size, 7)), InputSpec(1, 1024, 1024)).shape[1] == 1024


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"these are words, not pixels", "this is text, not an image"),
        (b"BMWs are cars; this is a text", "this is text, not an image"),
        (b"GIF89a\x01\0\x01\0\0\0\0;", "GIF"),
        (bytes(range(64)), "unknown data"),
        (b"\x89PNG\r\n\x1a\n" + b"junk" * 20, "PNG is damaged"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason) as refusal:
        decode(data, RGB_8)
    assert "0x" not in str(refusal.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_truncated_image_is_refused(form: str) -> None:
    data = encoded(Image.fromarray(noise(64, 64, 3)), form)
    with pytest.raises(BadImage, match="damaged"):
        decode(data[: len(data) // 2], RGB_8)


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
        )

    head = struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0)
    idat = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [7100, 10_000, 60_000])
def test_a_pixel_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(BadImage, match="too large; at most 50000000 pixels"):
        decode(png_header(side, side), RGB_8)


def test_pixels_are_counted_by_the_header_alone() -> None:
    assert announced_pixels(png_header(40_000, 1_000)) == 40_000_000
    assert announced_pixels(encoded(Image.new("L", (30, 20)), "JPEG")) == 600
    assert announced_pixels(b"no image") == announced_pixels(b"\x89PNG\r\n\x1a\n") == 0


def test_the_bound_on_pixels_is_the_callers() -> None:
    data = encoded(Image.new("L", (100, 100)))
    assert decode(data, GREY_8, max_pixels=10_000).shape == (1, 8, 8)
    with pytest.raises(BadImage, match="100 x 100 is too large"):
        decode(data, GREY_8, max_pixels=9_999)


SAMPLES = [
    encoded(Image.fromarray(noise(8, 8, channels)), form)
    for form, channels in (("PNG", 3), ("PNG", 1), ("JPEG", 3), ("WEBP", 3), ("BMP", 3))
]


@PROPERTY
@given(st.binary(max_size=400), st.sampled_from([None, GREY_8, RGB_8]))
@example(b"BM" + bytes(24), None)
def test_any_bytes_give_pixels_or_a_reason(data: bytes, spec: InputSpec | None) -> None:
    _decode_or_refuse(data, spec)


@PROPERTY
@given(st.sampled_from(SAMPLES), st.data())
def test_a_damaged_image_gives_pixels_or_a_reason(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]), RGB_8)


def _decode_or_refuse(data: bytes, spec: InputSpec | None) -> None:
    try:
        found = decode(data, spec, max_pixels=1 << 20)
    except BadImage as refusal:
        reason = str(refusal)
    else:
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert spec is None or found.shape == (spec.channels, spec.height, spec.width)
        return
    assert reason.isprintable()


def test_an_array_that_fits_keeps_every_pixel() -> None:
    pixels = noise(8, 8, 3)
    np.testing.assert_array_equal(fit(pixels, RGB_8), pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(fit(pixels[:, :, 0], GREY_8), pixels[None, :, :, 0])


def test_an_array_is_resized_as_a_file_is() -> None:
    for channels, spec in ((1, GREY_8), (3, RGB_8)):
        pixels = noise(20, 30, channels)
        from_file = decode(encoded(Image.fromarray(pixels)), spec)
        np.testing.assert_array_equal(fit(pixels, spec), from_file)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (
            np.zeros((8, 8, 3), np.uint8),
            "wrong channel count: the array has 3, the stream 1",
        ),
        (np.zeros((8, 8, 4), np.uint8), "4 channels"),
        (np.zeros((8, 8), np.float32), "float32, not uint8"),
        (np.zeros((8, 0, 1), np.uint8), "shape"),
        (np.zeros(8, np.uint8), "shape"),
    ],
)
def test_an_array_of_another_kind_is_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        fit(array, GREY_8)


def test_sniff_names_only_what_is_read() -> None:
    names = ["PNG", "PNG", "JPEG", "WEBP", "BMP"]
    assert [sniff(sample) for sample in SAMPLES] == names
    assert sniff(b"GIF89a") is None
    assert sniff(b"") is None


def test_the_split_is_the_hash_of_shape_and_pixels() -> None:
    """Never to change: chunks already split would mix what judges with what is learned from."""
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    draw = int(hashlib.sha256(b"1x8x8:" + bytes(range(64))).hexdigest()[:16], 16) / 2**64
    assert draw == pytest.approx(0.540635, abs=1e-6)
    assert split_of(pixels) is Split.TRAIN
    assert split_of(pixels, select=0.0, judge=0.541) is Split.JUDGE
    assert split_of(pixels, select=0.001, judge=0.54) is Split.SELECT


def test_the_split_heeds_the_shape_and_not_the_memory_layout() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 3, 8, 8), dtype=np.uint8)
    flat = [split_of(image.reshape(3, 4, 16), 0.3, 0.3) for image in images]
    plain = [split_of(image, 0.3, 0.3) for image in images]
    strided = [split_of(np.asfortranarray(image), 0.3, 0.3) for image in images]
    assert plain == strided
    assert plain != flat


def test_the_shares_of_the_splits_converge() -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (20_000, 1, 8, 8), dtype=np.uint8)
    counts = Counter(split_of(image, select=0.05, judge=0.1) for image in images)
    assert counts[Split.SELECT] / 20_000 == pytest.approx(0.05, abs=0.006)  # four deviations
    assert counts[Split.JUDGE] / 20_000 == pytest.approx(0.1, abs=0.009)


@PROPERTY
@given(st.binary(min_size=64, max_size=64), st.floats(0, 0.5), st.floats(0, 0.5))
def test_growing_the_judge_share_takes_no_image_from_it(
    raw: bytes, low: float, high: float
) -> None:
    pixels = np.frombuffer(raw, np.uint8).reshape(1, 8, 8)
    if split_of(pixels, 0.0, min(low, high)) is Split.JUDGE:
        assert split_of(pixels, 0.0, max(low, high)) is Split.JUDGE


def test_threads_share_the_silence_and_give_it_back() -> None:
    before = list(warnings.filters)
    inside, go = threading.Barrier(2), threading.Event()

    def stay() -> None:
        with quiet_pillow():
            inside.wait()
            go.wait()

    thread = threading.Thread(target=stay)
    with quiet_pillow():
        thread.start()
        inside.wait()
    assert warnings.filters != before  # the other thread still decodes
    go.set()
    thread.join()
    assert list(warnings.filters) == before


def test_the_input_side_is_importable_without_torch() -> None:
    code = "import sys, lure_core.images, lure_core.archive, lure_core.chunkfile; "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
