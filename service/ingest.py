"""An upload on its way to the disk: hashed, counted, bounded in bytes and time, never in memory."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from lure_core.archive import NPZ, ZIP
from service.digests import Announced
from service.errors import (
    ClientGone,
    DiskFull,
    EmptyBody,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)
from service.multipart import FileOfForm
from service.settings import ServiceSettings
from service.space import Room

FORM = "multipart/form-data"
_KINDS = {
    "application/zip": ZIP,
    "application/x-zip-compressed": ZIP,
    "application/x-zip": ZIP,
    "application/x-npz": NPZ,
}
_SUFFIXES = {".zip": ZIP, ".npz": NPZ}
_UNTOLD = ("", "application/octet-stream", "binary/octet-stream")
_BLOCK = 1 << 20  # bytes from one hop to a thread to the next
_SEND = "send a zip of <class>/<file> as application/zip, or an .npz as application/x-npz"


@dataclass(frozen=True)
class Upload:
    """A body that lies complete on the disk: its sha256, size in bytes and media type."""

    path: Path
    digest: str
    size_bytes: int
    media_type: str


def check_head(headers: Headers, settings: ServiceSettings, room: Room) -> None:
    """Refuse, before a byte is taken, what the headers already condemn.

    Raises:
        UnsupportedMediaType, TooLarge, EmptyBody, DiskFull, QuotaUsedUp: As their names say.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"Content-Encoding {encoding} is not read; send the file itself")
    media_type = _bare(headers.get("content-type", ""))
    if media_type != FORM:
        _kind(media_type, "")
    length = int(headers.get("content-length", "0"))
    if length > settings.max_upload_bytes:
        raise _too_large(settings)
    if length == 0 and "transfer-encoding" not in headers:
        raise EmptyBody(f"the body is empty; {_SEND}")
    room.check(length)


@contextmanager
def telling_full() -> Iterator[None]:
    """What fills the disk is told as such.

    Raises:
        DiskFull: There was no room to write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk filled up during this upload") from error
        raise


async def receive(request: Request, path: Path, settings: ServiceSettings, room: Room) -> Upload:
    """Stream the body, or the one file of its form, to `path`.

    Raises:
        ServiceError: It is too large, too slow, incomplete, empty, of an unknown type, not what
            its digest says, or finds no room on the disk or in a quota.
    """
    content_type = request.headers.get("content-type", "")
    with telling_full(), path.open("xb") as file:
        sink = _Sink(file, content_type, Announced(request.headers))

        def absorb(block: bytes) -> None:
            room.check(len(block), taken_bytes=sink.size_bytes)
            sink.write(block)

        await _pour(request, absorb, settings)
    return sink.finish(path)


async def _pour(
    request: Request, absorb: Callable[[bytes], None], settings: ServiceSettings
) -> None:
    now = asyncio.get_running_loop().time
    end = now() + settings.upload_timeout_s
    block, seen = bytearray(), 0
    try:
        async with asyncio.timeout(None) as clock:
            clock.reschedule(min(end, now() + settings.upload_idle_s))
            async for piece in request.stream():
                seen += len(piece)
                if seen > settings.max_upload_bytes:
                    raise _too_large(settings)
                block += piece
                if len(block) >= _BLOCK:
                    clock.reschedule(None)  # a slow disk is not the client's fault
                    await run_in_threadpool(absorb, bytes(block))
                    block.clear()
                clock.reschedule(min(end, now() + settings.upload_idle_s))
    except TimeoutError as error:
        words = f"{seen} bytes came; the rest took longer than {settings.upload_idle_s:g} s"
        raise TooSlow(f"{words} of silence or {settings.upload_timeout_s:g} s in all") from error
    except ClientDisconnect as error:
        raise ClientGone(f"the client left after {seen} bytes") from error
    await run_in_threadpool(absorb, bytes(block))


class _Sink:
    """Where blocks go, in a thread: through the form's parser if it is one, into hash and file."""

    def __init__(self, file: BinaryIO, content_type: str, announced: Announced) -> None:
        self._file = file
        self._announced = announced
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0
        self._form: FileOfForm | None = None
        self._kind = ""
        if _bare(content_type) == FORM:
            self._form = FileOfForm(content_type, self._learn_kind)
        else:
            self._learn_kind(content_type, "")

    def write(self, block: bytes) -> None:
        self._announced.update(block)
        data = block if self._form is None else self._form.feed(block)
        self._sha256.update(data)
        self.size_bytes += len(data)
        self._file.write(data)

    def finish(self, path: Path) -> Upload:
        self._announced.check()
        if self._form is not None:
            self._form.finish()
        if self.size_bytes == 0:
            raise EmptyBody(f"the body is empty; {_SEND}")
        return Upload(path, self._sha256.hexdigest(), self.size_bytes, self._kind)

    def _learn_kind(self, content_type: str, file_name: str) -> None:
        self._kind = _kind(_bare(content_type), file_name)


def _kind(media_type: str, file_name: str) -> str:
    """The reader's name for a media type, or, where the client does not know it, for a suffix."""
    if media_type in _KINDS:
        return _KINDS[media_type]
    suffix = PurePath(file_name).suffix.lower()
    if media_type in _UNTOLD and suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    given = media_type or "a body without a Content-Type"
    raise UnsupportedMediaType(f"{given} does not say what this chunk is; {_SEND}")


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _too_large(settings: ServiceSettings) -> TooLarge:
    return TooLarge(
        f"a chunk may have {settings.max_upload_bytes} bytes; send the data as several chunks"
    )
