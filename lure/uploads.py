"""Files on their way out: never whole in memory."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from lure.errors import LureError

BLOCK_BYTES = 1024 * 1024
MEDIA_TYPES = {".zip": "application/zip", ".npz": "application/x-npz"}

Part = tuple[str, IO[bytes] | bytes, str]  # file name, content, media type: as httpx takes it


def headers(path: Path) -> dict[str, str]:
    """What a chunk's upload says about itself; reads the file once, for its digest (RFC 9530)."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return {
        "Content-Type": MEDIA_TYPES[path.suffix.lower()],
        "Content-Length": str(path.stat().st_size),
        "Content-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
    }


def blocks(path: Path, *, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """The file in blocks; `on_bytes` hears how many bytes went."""
    sent = 0
    on_bytes(sent)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
            sent += len(block)
            on_bytes(sent)


def part(image: Path | bytes, opened: ExitStack) -> Part:
    """One file of a multipart body; `opened` closes it."""
    if isinstance(image, bytes):
        return "image", image, "application/octet-stream"
    kind = mimetypes.guess_type(image.name)[0] or "application/octet-stream"
    try:
        return image.name, opened.enter_context(image.open("rb")), kind
    except OSError as error:
        raise LureError(f"cannot read {image}", detail=error.strerror or "") from error


def rewind(files: Iterable[tuple[str, Part]]) -> None:
    """Makes files ready to be sent once more."""
    for _, (_, content, _) in files:
        if not isinstance(content, bytes):
            content.seek(0)


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """A chunk as one file: itself, or a folder `<class>/<file>` zipped for the time being.

    Raises:
        LureError: it is neither a folder with files, nor a .zip, nor an .npz.
    """
    if not path.is_dir():
        if not path.is_file():
            raise LureError(f"{path} is not there")
        if path.suffix.lower() not in MEDIA_TYPES:
            kinds = "a folder <class>/<file>, a .zip or an .npz"
            raise LureError(f"{path} is no chunk", detail=f"it should be {kinds}")
        yield path
        return
    files = sorted(
        found
        for found in path.rglob("*")
        if found.is_file() and not _hidden(found.relative_to(path))
    )
    if not files:
        raise LureError(f"there is no file in {path}")
    with TemporaryDirectory(prefix="lure-push-") as folder:
        whole = Path(folder) / f"{path.resolve().name}.zip"
        _zip(path, files, into=whole)
        yield whole


def _zip(root: Path, files: Sequence[Path], *, into: Path) -> None:
    """Stored, as images are compressed already; the same files always make the same bytes."""
    with zipfile.ZipFile(into, "w") as archive:
        for file in files:
            member = zipfile.ZipInfo(file.relative_to(root).as_posix())
            member.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, BLOCK_BYTES)


def _hidden(path: Path) -> bool:
    """Whether it, or a folder that it is in, is hidden."""
    return any(part.startswith(".") for part in path.parts)
