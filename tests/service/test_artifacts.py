from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any

import httpx
import pytest
import redis
from safetensors.numpy import load

from store import artifacts, retention, streams
from store.blobs import Blobs
from store.blobs.folder import Folder
from store.models import Stream, Version
from store.states import VersionState
from tests.service.conftest import Plane
from tests.service.serving import digits_stream, learned

REPORT = {"agreement": 1.0, "images": 100, "judge": 60, "max_abs_difference": 2e-7}


@pytest.fixture
def blobs(plane: Plane) -> Blobs:
    return Blobs(Folder(plane.blobs), plane.database)


@pytest.fixture
def digits(plane: Plane) -> Stream:
    return digits_stream(plane.database, plane.new_name())


@pytest.fixture
def version(plane: Plane, blobs: Blobs, digits: Stream) -> Version:
    return learned(plane.database, blobs, digits, architecture="mlp")


@pytest.fixture
def url(digits: Stream, version: Version) -> str:
    return f"/v1/streams/{digits.name}/versions/1/artifacts"


def claimed(plane: Plane, stream: Stream) -> artifacts.Claim:
    with plane.database.begin() as session:
        claim = artifacts.claim(session, stream.id, 1, artifacts.ONNX, stale_s=10)
    assert claim is not None
    return claim


def make(plane: Plane, blobs: Blobs, stream: Stream, content: bytes = b"onnx") -> str:
    """Do what a worker does; the digest."""
    claim = claimed(plane, stream)
    digest = blobs.put_bytes(content)
    with plane.database.begin() as session:
        artifacts.ready(session, claim, artifacts.Made(digest, len(content), REPORT))
    return digest


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def states(answer: httpx.Response) -> dict[str, Any]:
    return {one["kind"]: one["state"] for one in answer.json()}


def test_weights_come_with_their_digest_and_their_sidecar(
    client: httpx.Client, url: str, version: Version
) -> None:
    answer = client.get(f"{url}/safetensors")
    digest = hashlib.sha256(answer.content)
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"' == f'"{version.digest}"'
    said = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["content-digest"] == answer.headers["repr-digest"] == said
    name = f"{url.split('/')[3]}-1.safetensors"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert len(load(answer.content)) > 3

    assert answer.headers["link"] == f'<{url}/sidecar>; rel="describedby"'
    sidecar = client.get(f"{url}/sidecar")
    assert sidecar.headers["content-type"] == "application/json"
    told = sidecar.json()
    assert (told["weights_sha256"], told["architecture"]) == (version.digest, "mlp")
    assert told["classes"] == list("0123456789")
    assert told["normalisation"] == {"mean": [0.3], "std": [0.4]}


def test_a_part_can_be_fetched_and_what_is_known_is_not_sent_again(
    client: httpx.Client, url: str
) -> None:
    whole = client.get(f"{url}/safetensors")
    part = client.get(f"{url}/safetensors", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["repr-digest"] == whole.headers["repr-digest"]
    assert "content-digest" not in part.headers
    known = client.get(f"{url}/safetensors", headers={"if-none-match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_the_headers_of_a_file_can_be_asked_for_alone(
    client: httpx.Client, plane: Plane, blobs: Blobs, digits: Stream, url: str
) -> None:
    client.get(f"{url}/onnx")
    make(plane, blobs, digits)
    for kind in ("safetensors", "sidecar", "onnx"):
        whole, head = client.get(f"{url}/{kind}"), client.head(f"{url}/{kind}")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "etag", "repr-digest", "accept-ranges"):
            assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    "wish",
    ["lines=1-2", "bytes=zz", "bytes=5-2", "bytes=0-1,zz", "bytes=", "bytes=٣-٤", "bytes=0-1-2"],
)
def test_a_range_that_is_none_is_not_heeded(client: httpx.Client, url: str, wish: str) -> None:
    answer = client.get(f"{url}/sidecar", headers={"range": wish.encode()})
    assert (answer.status_code, answer.json()["architecture"]) == (200, "mlp")
    assert "content-digest" in answer.headers


def test_a_range_beyond_the_file_is_a_problem_unless_it_is_of_another_file(
    client: httpx.Client, url: str, version: Version
) -> None:
    beyond = {"range": "bytes=99999999-"}
    answer = client.get(f"{url}/safetensors", headers=beyond)
    problem(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{version.size_bytes}"
    problem(client.get(f"{url}/safetensors", headers={"range": "bytes=-0"}), 416)
    another = client.get(f"{url}/safetensors", headers=beyond | {"if-range": '"another"'})
    assert (another.status_code, len(another.content)) == (200, version.size_bytes)
    some = client.get(f"{url}/safetensors", headers={"range": "bytes=99999999-, -2"})
    assert (some.status_code, some.content) == (206, another.content[-2:])


def test_an_onnx_model_is_asked_for_once_and_fetched_when_it_is_made(
    client: httpx.Client, plane: Plane, blobs: Blobs, digits: Stream, url: str
) -> None:
    assert states(client.get(url)) == {"safetensors": "ready", "sidecar": "ready", "onnx": "absent"}
    with redis.Redis.from_url(plane.redis_url) as broker:
        broker.delete("admit")
        answers = [client.get(f"{url}/onnx") for _ in range(3)]
        assert broker.llen("admit") == 1
    for answer in answers:
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        assert (answer.headers["location"], answer.headers["retry-after"]) == (f"{url}/onnx", "5")
    digest = make(plane, blobs, digits)
    answer = client.get(f"{url}/onnx")
    assert (answer.status_code, answer.content) == (200, b"onnx")
    assert answer.headers["etag"] == f'"{digest}"'
    told = client.get(url).json()[2]
    assert (told["state"], told["report"], told["bytes"]) == ("ready", REPORT, 4)


def test_a_client_may_wait_for_it(
    client: httpx.Client, plane: Plane, blobs: Blobs, digits: Stream, url: str
) -> None:
    assert client.get(f"{url}/onnx", headers={"prefer": "wait=0"}).status_code == 202
    worker = threading.Thread(target=make, args=(plane, blobs, digits))
    worker.start()
    answer = client.get(f"{url}/onnx", headers={"prefer": "wait=20"})
    worker.join()
    assert (answer.status_code, answer.content) == (200, b"onnx")


def test_one_that_failed_says_why_and_can_be_made_again(
    client: httpx.Client, plane: Plane, blobs: Blobs, digits: Stream, url: str
) -> None:
    assert problem(client.post(f"{url}/onnx:retry"), 404)
    client.get(f"{url}/onnx")
    assert "has not failed" in problem(client.post(f"{url}/onnx:retry"), 409)
    claim = claimed(plane, digits)
    with plane.database.begin() as session:
        artifacts.fail(session, claim, "it agrees on 3 %", REPORT)
    assert "it agrees on 3 %" in problem(client.get(f"{url}/onnx"), 409)
    assert states(client.get(url))["onnx"] == "failed"
    assert client.post(f"{url}/onnx:retry").status_code == 202
    make(plane, blobs, digits)
    assert client.get(f"{url}/onnx").status_code == 200


def test_deleted_weights_are_gone_in_every_format_and_the_sidecar_stays(
    client: httpx.Client, plane: Plane, blobs: Blobs, digits: Stream, url: str
) -> None:
    client.get(f"{url}/onnx")
    make(plane, blobs, digits)
    learned(plane.database, blobs, digits, seed=1, architecture="mlp")
    learned(plane.database, blobs, digits, seed=2, architecture="mlp")
    with plane.database.begin() as session:
        row = streams.get(session, digits.name)
        assert retention.delete_weights(session, row, 1, who="test")
    for kind in ("safetensors", "onnx"):
        assert "were deleted" in problem(client.get(f"{url}/{kind}"), 410)
    assert client.get(f"{url}/sidecar").status_code == 200
    assert states(client.get(url)) == {
        "safetensors": "deleted",
        "sidecar": "ready",
        "onnx": "deleted",
    }


def test_a_contaminated_version_is_not_given_out(
    client: httpx.Client, plane: Plane, blobs: Blobs, digits: Stream
) -> None:
    learned(plane.database, blobs, digits, architecture="mlp", champion=False)
    with plane.database.begin() as session:
        row = session.get(Version, (digits.id, 1))
        assert row is not None
        row.state = VersionState.CONTAMINATED
    url = f"/v1/streams/{digits.name}/versions/1/artifacts"
    for kind in ("safetensors", "onnx"):
        assert "contaminated" in problem(client.get(f"{url}/{kind}"), 409)


def test_bytes_that_are_missing_are_told_as_away(
    client: httpx.Client, blobs: Blobs, url: str, version: Version
) -> None:
    blobs.local(version.digest).unlink()
    answer = client.get(f"{url}/safetensors")
    problem(answer, 503)
    assert "retry-after" in answer.headers


def test_what_there_is_not(client: httpx.Client, url: str) -> None:
    problem(client.get(f"{url}/torchscript"), 404)
    problem(client.get(url.replace("/1/", "/7/")), 404)
    assert json.loads(client.get("/openapi.json").content)["paths"]
