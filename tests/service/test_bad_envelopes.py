"""Whatever is wrong with an upload's envelope: a 4xx problem at once, no row, no file."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import time
import zipfile
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest

from tests.digits import digits_npz, digits_zip, images, labels
from tests.lure_core.test_archive import raw_zip
from tests.service.conftest import Plane
from tests.service.control import NPZ, connect, files, head, problem, push, read_answer
from tests.service.serving import until

GOOD = digits_zip(range(20))


@pytest.fixture(autouse=True)
def _nothing_is_left(plane: Plane, stream: str) -> Iterator[None]:
    before = files(plane.blobs)
    yield
    plane.assert_nothing_came_of(stream, before)
    assert plane.client.get("/readyz").status_code == 200


def zipped(name: str, data: bytes = b"data", *, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"this is not a zip at all",
        GOOD[:-40],
        GOOD[: len(GOOD) // 2],
        zipped("../../etc/passwd"),
        zipped("/etc/passwd"),
        zipped("cat/link.png", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
        zipped("cat/bomb.png", bytes(20 << 20)),
    ],
    ids=["no zip", "truncated", "half", "traversal", "absolute", "symlink", "ratio bomb"],
)
def test_an_unsafe_zip_is_refused(client: httpx.Client, stream: str, data: bytes) -> None:
    told = problem(push(client, stream, data), 422, "bad-archive")
    assert told["errors"][0]["detail"]


def test_a_zip_of_nothing_is_refused(client: httpx.Client, stream: str) -> None:
    problem(push(client, stream, digits_zip([])), 422, "bad-archive")


def test_a_million_members_are_refused(client: httpx.Client, stream: str) -> None:
    problem(push(client, stream, raw_zip(1_000_000)), 422, "bad-archive")


def test_the_member_to_blame_is_named(client: httpx.Client, stream: str) -> None:
    told = problem(push(client, stream, zipped("../../etc/passwd")), 422)
    assert told["errors"][0]["pointer"] == "../../etc/passwd"


@pytest.mark.parametrize(
    "data",
    [
        npz(images=np.array([{}, {}], dtype=object), labels=labels[:2]),
        npz(images=images[:5], labels=labels[:4]),
        npz(images=images[:5].astype(np.float32), labels=labels[:5]),
        npz(images=images[0], labels=labels[:8]),
        npz(pictures=images[:5], labels=labels[:5]),
        digits_npz(range(9))[:-30],
        GOOD,
    ],
    ids=["pickled", "unequal", "floats", "flat", "names", "truncated", "a zip of images"],
)
def test_a_bad_npz_is_refused(client: httpx.Client, stream: str, data: bytes) -> None:
    problem(push(client, stream, data, NPZ), 422, "bad-archive")


def test_an_empty_body_is_refused(client: httpx.Client, stream: str) -> None:
    problem(push(client, stream, b""), 422, "empty")


def test_an_empty_stream_of_pieces_is_refused(client: httpx.Client, stream: str) -> None:
    problem(push(client, stream, iter(())), 422, "empty")


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_a_wrong_digest_is_refused(client: httpx.Client, stream: str, algorithm: str) -> None:
    other = base64.b64encode(hashlib.new(algorithm.replace("-", ""), b"other").digest()).decode()
    answer = push(client, stream, GOOD, content_digest=f"{algorithm}=:{other}:")
    problem(answer, 422, "wrong-digest")


@pytest.mark.parametrize("value", ["sha-256=abc", "sha-256", "=:YQ==:", "sha-256=:*:"])
def test_a_digest_that_cannot_be_read_is_refused(
    client: httpx.Client, stream: str, value: str
) -> None:
    problem(push(client, stream, GOOD, content_digest=value), 422, "invalid")


@pytest.mark.parametrize("media_type", ["text/plain", "image/png", "application/octet-stream", ""])
def test_an_unknown_media_type_is_refused(
    client: httpx.Client, stream: str, media_type: str
) -> None:
    told = problem(push(client, stream, GOOD, {"content-type": media_type}), 415, "media-type")
    assert "application/zip" in told["detail"]


def test_a_compressed_body_is_refused(client: httpx.Client, stream: str) -> None:
    problem(push(client, stream, GOOD, content_encoding="gzip"), 415, "media-type")


def form(client: httpx.Client, stream: str, *parts: tuple[str, bytes, str]) -> httpx.Response:
    return client.post(f"/v1/streams/{stream}/chunks", files=[("file", part) for part in parts])


def test_a_form_with_two_files_is_refused(client: httpx.Client, stream: str) -> None:
    part = ("a.zip", GOOD, "application/zip")
    problem(form(client, stream, part, part), 422, "invalid")


def test_a_form_with_an_unknown_kind_of_file_is_refused(client: httpx.Client, stream: str) -> None:
    part = ("a.txt", GOOD, "application/octet-stream")
    problem(form(client, stream, part), 415, "media-type")


def test_a_form_without_a_file_is_refused(client: httpx.Client, stream: str) -> None:
    boundary = {"content-type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nwords\r\n--b--\r\n'
    problem(push(client, stream, body, boundary), 422, "invalid")


@pytest.mark.parametrize("body", [b"--b\r\nContent-Disp", b"no form at all", b"--b--\r\n"])
def test_a_broken_form_is_refused(client: httpx.Client, stream: str, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    problem(push(client, stream, body, headers), 422, "invalid")


def test_a_part_of_endless_headers_is_refused(client: httpx.Client, stream: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    lines = b"".join(b"x-%d: %s\r\n" % (number, b"a" * 3000) for number in range(4))
    problem(push(client, stream, b"--b\r\n" + lines, headers), 422, "invalid")


def test_a_form_without_a_boundary_is_refused(client: httpx.Client, stream: str) -> None:
    headers = {"content-type": "multipart/form-data"}
    problem(push(client, stream, b"--b--", headers), 422, "invalid")


def test_a_body_announced_above_the_cap_is_refused_at_once(plane: Plane, stream: str) -> None:
    with connect(plane.url) as connection:
        connection.sendall(head(stream, content_length=str(1 << 40)))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_in_pieces_above_the_cap_is_refused(client: httpx.Client, stream: str) -> None:
    pieces = (bytes(1 << 20) for _ in range(170))
    problem(push(client, stream, pieces), 413, "too-large")


def test_an_unknown_stream_is_refused_before_the_body_is_taken(plane: Plane) -> None:
    with connect(plane.url) as connection:
        connection.sendall(head("nowhere", content_length="50000000"))
        began = connection.recv(65536)
        connection.close()
    assert began.startswith(b"HTTP/1.1 404 ")


def test_who_asks_first_is_refused_without_sending(plane: Plane, stream: str) -> None:
    with connect(plane.url) as connection:
        connection.sendall(head("nowhere", content_length="50000000", expect="100-continue"))
        answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer


def test_a_client_that_sends_everything_first_reads_its_refusal(
    client: httpx.Client, stream: str
) -> None:
    problem(push(client, "nowhere", bytes(30 << 20)), 404, "not-found")


def cut(connection_of: Callable[[], bytes], plane: Plane) -> None:
    """Begin an upload, and leave once the service has begun to store it."""
    before = files(plane.blobs)
    with connect(plane.url) as connection:
        connection.sendall(connection_of())
        until(lambda: files(plane.blobs) != before)
    until(lambda: files(plane.blobs) == before)


def test_a_client_that_leaves_in_mid_upload_leaves_nothing(plane: Plane, stream: str) -> None:
    cut(lambda: head(stream, content_length="50000000") + GOOD, plane)


def test_a_client_that_leaves_between_pieces_leaves_nothing(plane: Plane, stream: str) -> None:
    cut(lambda: head(stream, transfer_encoding="chunked") + b"5\r\nhello\r\n", plane)


def test_a_silent_client_is_told_so_in_time(plane: Plane, stream: str) -> None:
    began = time.monotonic()
    with connect(plane.url) as connection:
        connection.sendall(head(stream, content_length="50000000") + GOOD)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 15
