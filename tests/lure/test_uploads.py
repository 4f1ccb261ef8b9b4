"""Chunks on their way out."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from lure import uploads
from lure.errors import LureError


def image_folder(root: Path) -> Path:
    for name in ("cat/1.png", "dog/2.png", "dog/.hidden", ".git/cat/3.png"):
        path = root / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root / "pets"


def test_a_folder_becomes_a_stored_zip_that_is_gone_afterwards(tmp_path: Path) -> None:
    with uploads.as_file(image_folder(tmp_path)) as path, zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["cat/1.png", "dog/2.png"]
        assert archive.read("dog/2.png") == b"dog/2.png"
        assert all(item.compress_type == zipfile.ZIP_STORED for item in archive.infolist())
    assert not path.exists()


def test_the_same_folder_makes_the_same_bytes(tmp_path: Path) -> None:
    with uploads.as_file(image_folder(tmp_path / "a")) as one:
        first = one.read_bytes()
    with uploads.as_file(image_folder(tmp_path / "b")) as other:
        assert other.read_bytes() == first


@pytest.mark.parametrize(
    ("name", "what"), [("none.zip", "not there"), ("chunk.txt", "no chunk"), ("empty", "no file")]
)
def test_what_is_no_chunk_is_refused(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "chunk.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LureError, match=what), uploads.as_file(tmp_path / name):
        pass


def test_headers_tell_type_length_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "chunk.NPZ"
    path.write_bytes(b"bytes")
    digest = base64.b64encode(hashlib.sha256(b"bytes").digest()).decode()
    assert uploads.headers(path) == {
        "Content-Type": "application/x-npz",
        "Content-Length": "5",
        "Content-Digest": f"sha-256=:{digest}:",
    }
