"""Whatever bytes come: an inference with the images that were sent, or a refusal with words."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from lure_core.config import InputSpec
from service.errors import Invalid
from service.oip.forms import FORMS
from service.oip.images import images_of
from service.oip.request import parse

SPEC = InputSpec(channels=3, height=8, width=9)

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
pixels = st.integers(1, 4).flatmap(lambda n: st_numpy.arrays(np.uint8, (n, 3, 8, 9)))


def read(body: bytes, json_bytes: int) -> Any:
    """Images, or None where the request is refused; anything else is a defect."""
    try:
        return images_of(parse(body, json_bytes).tensor, SPEC, 8)
    except Invalid:
        return None


def binary(tensor: dict[str, Any], raw: bytes) -> tuple[bytes, int]:
    parameters = {"binary_data_size": len(raw)}
    header = json.dumps({"inputs": [{**tensor, "parameters": parameters}]}).encode()
    return header + raw, len(header)


@PROPERTY
@given(pixels, st.sampled_from(FORMS[:3]), st.booleans())
def test_pixels_come_back_as_they_were_in_every_form(images: Any, form: Any, nested: bool) -> None:
    array = images if form.axes == "CHW" else images.transpose(0, 2, 3, 1)
    if form.datatype == "FP32":
        array = (array / 255).astype(np.float32)
    tensor = {"name": form.name, "datatype": form.datatype, "shape": list(array.shape)}
    np.testing.assert_array_equal(read(*binary(tensor, array.tobytes())), images)
    data = array.tolist() if nested else array.ravel().tolist()
    body = json.dumps({"inputs": [{**tensor, "data": data}]}).encode()
    np.testing.assert_array_equal(read(body, len(body)), images)


@PROPERTY
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_files_come_back_as_they_were(files: list[bytes]) -> None:
    tensor = {"name": "images", "datatype": "BYTES", "shape": [len(files)]}
    raw = b"".join(struct.pack("<I", len(one)) + one for one in files)
    assert read(*binary(tensor, raw)) == files


@PROPERTY
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_refused(body: bytes, json_bytes: int) -> None:
    assert read(body, min(json_bytes, len(body))) is None


@PROPERTY
@given(pixels, st.data())
def test_what_is_cut_off_or_too_long_is_refused(images: Any, data: st.DataObject) -> None:
    tensor = {"name": "images", "datatype": "UINT8", "shape": list(images.shape)}
    body, json_bytes = binary(tensor, images.tobytes())
    cut = data.draw(st.integers(0, len(body) - 1))
    assert read(body[:cut], min(json_bytes, cut)) is None
    assert read(body + b"\0", json_bytes) is None
    assert (
        read(body, data.draw(st.integers(0, len(body)).filter(lambda n: n != json_bytes))) is None
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
sizes = st.integers(-1, 9) | st.integers(2**31 - 1, 2**70)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from([form.name for form in FORMS]) | anything,
        "datatype": st.sampled_from(["UINT8", "FP32", "BYTES", "INT32", "BOOL"]) | anything,
        "shape": st.lists(sizes, max_size=5) | st.just([1, 3, 8, 9]) | anything,
        "parameters": st.fixed_dictionaries({"binary_data_size": sizes | anything}) | anything,
        "data": st.just([0.5] * 216) | st.just([7] * 216) | anything,
    },
)


@PROPERTY
@given(
    st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=2) | anything})
    | st.fixed_dictionaries({"inputs": st.tuples(tensors), "outputs": anything, "id": anything}),
    st.binary(max_size=100),
)
def test_any_json_is_answered_or_refused(content: dict[str, Any], behind: bytes) -> None:
    header = json.dumps(content).encode()
    read(header + behind, len(header))
