"""Requests as the specification writes them, and what is refused of others."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from tests.digits import images, png
from tests.service.serving import CLASSES, Running

URL = "/v2/models/digits/infer"
TWO = images[:2, None]
JSON_LENGTH = "Inference-Header-Content-Length"


def tensor(array: np.ndarray, **changes: Any) -> dict[str, Any]:
    kind = {"uint8": "UINT8", "float32": "FP32"}[str(array.dtype)]
    given = {"name": "images", "shape": list(array.shape), "datatype": kind}
    return given | {"data": array.ravel().tolist()} | changes


def inference(*inputs: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **members}


def refused(answer: httpx.Response, pointer: str, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["error"] == told["detail"]
    assert pointer in [fault["pointer"] for fault in told.get("errors", [{"pointer": ""}])]
    return str(told["error"])


def test_the_specifications_request_with_our_models_name_and_shape(api: Running) -> None:
    """KServe's open-inference-protocol, inference_rest.md, "Inference Request Examples"."""
    asked = {
        "id": "42",
        "inputs": [
            {
                "name": "input0",
                "shape": [2, 1, 8, 8],
                "datatype": "UINT8",
                "data": TWO.ravel().tolist(),
            }
        ],
        "outputs": [{"name": "probabilities"}],
    }
    answer = api.client.post(URL, json=asked)
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (told["id"], told["model_name"], told["model_version"]) == ("42", "digits", "1")
    [output] = told["outputs"]
    assert (output["name"], output["shape"], output["datatype"]) == (
        "probabilities",
        [2, 10],
        "FP32",
    )
    assert np.reshape(output["data"], (2, 10)).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_binary_extensions_request_with_our_models_name_and_shape(api: Running) -> None:
    """Triton's extension_binary_data.md: one input as bytes, the output as bytes."""
    asked = {
        "model_name": "mymodel",
        "inputs": [
            {
                "name": "input0",
                "shape": [2, 1, 8, 8],
                "datatype": "UINT8",
                "parameters": {"binary_data_size": 128},
            }
        ],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    header = json.dumps(asked).encode()
    answer = api.client.post(
        URL,
        content=header + TWO.tobytes(),
        headers={JSON_LENGTH: str(len(header)), "content-type": "application/octet-stream"},
    )
    length = int(answer.headers[JSON_LENGTH])
    told = json.loads(answer.content[:length])
    [output] = told["outputs"]
    assert "id" not in told
    assert output["parameters"] == {"binary_data_size": 80}
    assert "data" not in output
    plain = api.client.post(URL, json=inference(tensor(TWO))).json()["outputs"][0]["data"]
    assert np.frombuffer(answer.content[length:], "<f4") == pytest.approx(plain, abs=1e-6)


def test_data_may_be_nested_or_flat_and_whatever_else_is_said_is_borne(api: Running) -> None:
    nested = tensor(TWO, data=TWO.tolist(), parameters={"content_type": "np", "x": [1]})
    asked = inference(nested, parameters={"priority": 3, "sequence_id": 7}, more=1)
    flat = api.client.post(URL, json=inference(tensor(TWO))).json()
    assert api.client.post(URL, json=asked).json() == flat
    assert [one["name"] for one in flat["outputs"]] == ["probabilities", "label"]


def test_answers_name_the_version_and_the_digest_of_its_weights(api: Running) -> None:
    for path, version in ((URL, "1"), ("/v2/models/digits/versions/@candidate/infer", "2")):
        answer = api.client.post(path, json=inference(tensor(TWO)))
        assert answer.json()["model_version"] == answer.headers["x-model-version"] == version
        digest = answer.json()["parameters"]["model_digest"]
        assert digest == answer.headers["x-model-digest"]


def test_it_agrees_with_the_predictions_of_the_same_files(api: Running) -> None:
    files = [base64.b64encode(png(image)).decode() for image in images[:2]]
    ours = api.client.post("/v1/streams/digits/predictions?top_k=1", json={"images": files}).json()
    encoded = {"name": "a", "shape": [2], "datatype": "BYTES", "data": files}
    for way in (encoded, encoded | {"shape": [2, 1], "data": [[one] for one in files]}):
        probabilities, label = api.client.post(URL, json=inference(way)).json()["outputs"]
        assert label["data"] == [one["label"] for one in ours["predictions"]]
        best = np.reshape(probabilities["data"], (2, 10)).max(axis=1)
        assert best == pytest.approx([one["probability"] for one in ours["predictions"]], abs=1e-5)


def test_more_classes_than_there_are_gives_all_of_them(api: Running) -> None:
    outputs = [{"name": "probabilities", "parameters": {"classification": 99}}]
    [told] = api.client.post(URL, json=inference(tensor(TWO), outputs=outputs)).json()["outputs"]
    assert told["shape"] == [2, len(CLASSES)]


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b"words", ""),
        (b"[]", ""),
        (b"{}", "/inputs"),
        (json.dumps(inference(tensor(TWO), tensor(TWO))).encode(), "/inputs"),
        (json.dumps(inference(tensor(TWO), id=42)).encode(), "/id"),
        (json.dumps({"inputs": [3]}).encode(), "/inputs/0"),
        (
            json.dumps(inference(tensor(TWO), parameters={"timeout": 0.5})).encode(),
            "/parameters/timeout",
        ),
    ],
)
def test_what_is_no_request(api: Running, content: bytes, pointer: str) -> None:
    refused(api.client.post(URL, content=content), pointer)


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"datatype": "INT64"}, "/inputs/0/datatype", "UINT8, FP32, BYTES here, not 'INT64'"),
        ({"name": "images_fp32"}, "/inputs/0/datatype", "FP32 here"),
        ({"shape": [2, 8, 8]}, "/inputs/0/shape", "[-1, 1, 8, 8] or [-1, 8, 8, 1]"),
        ({"shape": [2, 3, 8, 8]}, "/inputs/0/shape", "only encoded images are resized"),
        ({"shape": [2, 1, 8, -8]}, "/inputs/0/shape", "above 0"),
        ({"shape": [0, 1, 8, 8]}, "/inputs/0/shape", "above 0"),
        ({"shape": [True, 1, 8, 8]}, "/inputs/0/shape", "above 0"),
        ({"shape": [3, 1, 8, 8]}, "/inputs/0/data", "128 values, not those of [3, 1, 8, 8]"),
        ({"shape": [2**62, 1, 8, 8]}, "/inputs/0/shape/0", "may have 256"),
        ({"data": [0] * 127 + [256]}, "/inputs/0/data/127", "256 at [1, 0, 7, 7]"),
        ({"data": [0] * 127 + [10**30]}, "/inputs/0/data/127", "not within 0 and 255"),
        ({"data": [0] * 127 + [-1]}, "/inputs/0/data/127", "-1 at [1, 0, 7, 7]"),
        ({"data": [0] * 127 + [1.5]}, "/inputs/0/data/127", "a whole number of 0 to 255"),
        ({"data": ["1"] * 128}, "/inputs/0/data/0", "a whole number of 0 to 255"),
        ({"data": [0] * 127 + [True]}, "/inputs/0/data/127", "a whole number of 0 to 255"),
        ({"data": [0.5] * 127 + [True], "datatype": "FP32"}, "/inputs/0/data/127", "of 0 to 1"),
        ({"data": [None] * 128}, "/inputs/0/data/0", "a whole number of 0 to 255"),
        ({"data": ["1"] * 128, "datatype": "FP32"}, "/inputs/0/data/0", "a number of 0 to 1"),
        ({"data": [1] * 127 + [10**400], "datatype": "FP32"}, "/inputs/0/data/127", "0 and 1"),
        ({"data": [[0] * 64, [0] * 63]}, "/inputs/0/data", "not nested as [2, 1, 8, 8]"),
        ({"data": "AAAA"}, "/inputs/0/data", "must be a list"),
    ],
)
def test_what_holds_no_images_of_the_model(
    api: Running, changes: dict[str, Any], pointer: str, words: str
) -> None:
    answer = api.client.post(URL, json=inference(tensor(TWO, **changes)))
    assert words in refused(answer, pointer)


@pytest.mark.parametrize("wrong", [2.0, -0.001, 1.001, float("nan"), float("inf")])
def test_floats_beyond_0_and_1_are_refused_with_their_place(api: Running, wrong: float) -> None:
    floats = (TWO / 255).astype(np.float32)
    floats[1, 0, 2, 3] = wrong
    plain = json.dumps(inference(tensor(floats))).encode()
    place = "/inputs/0/data/83"
    assert "at [1, 0, 2, 3]" in refused(api.client.post(URL, content=plain), place)
    raw = floats.tobytes()
    given = tensor(floats, parameters={"binary_data_size": len(raw)})
    header = json.dumps(inference({k: v for k, v in given.items() if k != "data"})).encode()
    binary = api.client.post(URL, content=header + raw, headers={JSON_LENGTH: str(len(header))})
    assert "at [1, 0, 2, 3]" in refused(binary, place)


def test_files_that_are_no_images_are_named(api: Running) -> None:
    good, bad = png(images[0]), b"words"
    texts = [base64.b64encode(one).decode() for one in (good, bad)]
    asked = {"name": "images", "shape": [2], "datatype": "BYTES", "data": texts}
    refused(api.client.post(URL, json=inference(asked)), "/inputs/0/data/1")
    asked["data"] = [texts[0], "nö"]
    refused(api.client.post(URL, json=inference(asked)), "/inputs/0/data/1")
    asked["shape"] = [3]
    refused(api.client.post(URL, json=inference(asked)), "/inputs/0/data")


@pytest.mark.parametrize(
    ("outputs", "pointer"),
    [
        ([{"name": "output0"}], "/outputs/0/name"),
        ([{"name": "label"}, {"name": "label"}], "/outputs/1/name"),
        ([{"name": "label"}] * 3, "/outputs"),
        ("label", "/outputs"),
        (
            [{"name": "label", "parameters": {"binary_data": 1}}],
            "/outputs/0/parameters/binary_data",
        ),
        (
            [{"name": "label", "parameters": {"classification": 1}}],
            "/outputs/0/parameters/classification",
        ),
        (
            [{"name": "probabilities", "parameters": {"classification": 0}}],
            "/outputs/0/parameters/classification",
        ),
    ],
)
def test_outputs_that_there_are_not(api: Running, outputs: Any, pointer: str) -> None:
    refused(api.client.post(URL, json=inference(tensor(TWO), outputs=outputs)), pointer)


@pytest.mark.parametrize("length", ["x", "-1", "99999", "1" * 30, "²"])
def test_a_json_length_that_lies(api: Running, length: str) -> None:
    content = json.dumps(inference(tensor(TWO))).encode()
    answer = api.client.post(
        URL, content=content, headers=[(b"inference-header-content-length", length.encode())]
    )
    refused(answer, "header:inference-header-content-length")


def test_packed_bodies_are_bounded_by_what_comes_out(api: Running) -> None:
    bomb = gzip.compress(bytes(40 << 20))
    packed = {"content-encoding": "gzip"}
    refused(api.client.post(URL, content=bomb, headers=packed), "", status=413)
    refused(api.client.post(URL, content=b"words", headers=packed), "header:content-encoding")
    whole = gzip.compress(json.dumps(inference(tensor(TWO))).encode())
    refused(api.client.post(URL, content=whole[:-9], headers=packed), "")
    assert api.client.post(URL, content=whole, headers=packed).status_code == 200
    other = api.client.post(URL, content=whole, headers={"content-encoding": "br"})
    refused(other, "", status=415)


def test_every_refusal_on_v2_has_an_error(api: Running) -> None:
    refused(api.client.post("/v2/models/letters/infer", json={}), "", status=404)
    refused(api.client.post("/v2/models/digits/versions/7/infer", json={}), "", status=404)
    refused(api.client.post("/v2/models/digits/versions/@mine/infer", json={}), "", status=404)
    refused(api.client.get(URL), "", status=405)
    refused(api.client.get("/v2/nothing"), "", status=404)
    assert api.client.post("/v2/models/digits/versions/x/infer").status_code == 422


def test_a_bytes_tensor_is_read_by_its_lengths(api: Running) -> None:
    def asked(raw: bytes, count: int, **parameters: str) -> httpx.Response:
        given = {"name": "images", "shape": [count], "datatype": "BYTES"}
        given["parameters"] = {"binary_data_size": len(raw), **parameters}
        header = json.dumps(inference(given)).encode()
        return api.client.post(URL, content=header + raw, headers={JSON_LENGTH: str(len(header))})

    def element(content: bytes) -> bytes:
        return struct.pack("<I", len(content)) + content

    file = png(images[0])
    assert asked(element(file), 1).status_code == 200
    text = base64.b64encode(file)
    assert asked(element(text) * 2, 2, content_type="base64").status_code == 200
    refused(asked(element(file), 2), "/inputs/0/data")
    refused(asked(element(file)[:-1], 1), "/inputs/0/data/0")
    refused(asked(element(file) + b"\x01\x00", 1), "/inputs/0/data/1")
    refused(asked(struct.pack("<I", 2**32 - 1), 1), "/inputs/0/data/0")
