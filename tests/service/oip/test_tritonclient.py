"""A stock `tritonclient[http]`, told nothing but where the server is."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.digits import images, png
from tests.service.serving import CLASSES, Running

N = 3
PIXELS = images[:N, None]  # uint8 [N,1,8,8]


@pytest.fixture(scope="module")
def client(api: Running) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(urlsplit(api.url).netloc) as client:
        yield client


def sent(array: np.ndarray, datatype: str, *, name: str = "images", binary: bool = True) -> list:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return [tensor.set_data_from_numpy(array, binary_data=binary)]


def test_it_finds_out_what_there_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "2")
    assert client.is_model_ready("digits", "@candidate")
    assert not client.is_model_ready("digits", "7")
    assert not client.is_model_ready("letters")
    told = client.get_model_metadata("digits", "@candidate")
    assert (told["name"], told["versions"]) == ("digits", ["1", "2"])
    assert {"name": "images", "datatype": "UINT8", "shape": [-1, 1, 8, 8]} in told["inputs"]
    assert {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]} in told["outputs"]
    index = client.get_model_repository_index()
    assert [(one["name"], one["version"], one["state"]) for one in index] == [
        ("digits", "1", "READY"),
        ("digits", "2", "READY"),
    ]


@pytest.mark.parametrize(("asked", "version"), [("", "1"), ("2", "2"), ("@candidate", "2")])
def test_it_infers_by_model_version_and_alias_in_json_and_binary(
    client: triton.InferenceServerClient, asked: str, version: str
) -> None:
    answers = []
    for binary in (True, False):
        outputs = [
            triton.InferRequestedOutput(name, binary_data=binary)
            for name in ("probabilities", "label")
        ]
        result = client.infer(
            "digits",
            sent(PIXELS, "UINT8", binary=binary),
            model_version=asked,
            outputs=outputs,
            request_id="42",
        )
        told = result.get_response()
        assert (told["model_name"], told["model_version"], told["id"]) == ("digits", version, "42")
        answers.append(result.as_numpy("probabilities"))
        labels = [str(one, "utf-8") if binary else one for one in result.as_numpy("label")]
        assert labels == [CLASSES[k] for k in answers[-1].argmax(axis=1)]
    np.testing.assert_allclose(*answers, rtol=1e-6)
    assert answers[0].shape == (N, 10)


def test_every_form_of_the_same_images_gives_the_same_answer(
    client: triton.InferenceServerClient,
) -> None:
    files = np.array([png(image) for image in images[:N]], dtype=object)
    texts = np.array([base64.b64encode(one) for one in files], dtype=object)
    ways = [
        sent(PIXELS, "UINT8"),
        sent(images[:N, ..., None], "UINT8"),
        sent(images[:N, ..., None], "UINT8", name="images_nhwc", binary=False),
        sent((PIXELS / 255).astype(np.float32), "FP32"),
        sent((PIXELS / 255).astype(np.float32), "FP32", name="images_fp32", binary=False),
        sent(files, "BYTES"),
        sent(texts, "BYTES", name="images_encoded", binary=False),
    ]
    answers = [client.infer("digits", way).as_numpy("probabilities") for way in ways]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_it_asks_for_the_best_classes(client: triton.InferenceServerClient, binary: bool) -> None:
    outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)]
    result = client.infer("digits", sent(PIXELS, "UINT8"), outputs=outputs)
    best = result.as_numpy("probabilities")
    assert best.shape == (N, 2)
    whole = client.infer("digits", sent(PIXELS, "UINT8")).as_numpy("probabilities")
    for row, scores in zip(best, whole, strict=True):
        told = [(one.decode() if binary else one).split(":") for one in row]
        assert [int(k) for _, k, _ in told] == list(np.argsort(-scores)[:2])
        assert [label for *_, label in told] == [CLASSES[int(k)] for _, k, _ in told]
        assert [float(score) for score, *_ in told] == pytest.approx(
            sorted(scores)[:-3:-1], abs=1e-6
        )


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_it_packs_its_requests(client: triton.InferenceServerClient, packing: str) -> None:
    plain = client.infer("digits", sent(PIXELS, "UINT8")).as_numpy("probabilities")
    packed = client.infer(
        "digits",
        sent(PIXELS, "UINT8"),
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    np.testing.assert_array_equal(packed.as_numpy("probabilities"), plain)


def test_requests_may_overlap_and_the_statistics_count_them(
    client: triton.InferenceServerClient,
) -> None:
    def images_of_version_2() -> int:
        [account] = client.get_inference_statistics("digits", "2")["model_stats"]
        return account["inference_count"]

    client.infer("digits", sent(PIXELS, "UINT8"), model_version="2")
    before = images_of_version_2()
    asked = [
        client.async_infer("digits", sent(PIXELS, "UINT8"), model_version="2") for _ in range(4)
    ]
    assert all(one.get_result().as_numpy("label").shape == (N,) for one in asked)
    assert images_of_version_2() == before + 4 * N


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda c: c.infer("letters", sent(PIXELS, "UINT8")), "there is no stream letters"),
        (lambda c: c.infer("digits", sent(PIXELS[:, :, :7], "UINT8")), "only encoded images are"),
        (lambda c: c.infer("digits", sent(PIXELS.astype(np.int64), "INT64")), "not 'INT64'"),
        (lambda c: c.get_model_metadata("digits", "7"), "there is no version 7"),
    ],
)
def test_it_reads_what_is_refused(
    client: triton.InferenceServerClient,
    ask: Callable[[triton.InferenceServerClient], object],
    words: str,
) -> None:
    with pytest.raises(InferenceServerException, match=words):
        ask(client)


def test_the_clients_timeout_is_the_requests_deadline(
    client: triton.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="within 1e-06 s") as refused:
        client.infer("digits", sent(PIXELS, "UINT8"), timeout=1)
    assert refused.value.status() == "504"
    for patient in (0, 60_000_000):
        answer = client.infer("digits", sent(PIXELS, "UINT8"), timeout=patient)
        assert answer.as_numpy("probabilities").shape == (N, 10)
