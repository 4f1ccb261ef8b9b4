"""The images of a prediction request: multipart files, one raw image, or base64 within JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.aside import aside
from service.errors import (
    ClientGone,
    EmptyBody,
    Fault,
    Invalid,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)
from service.predict import Predictor
from service.settings import ServiceSettings
from service.threads import Threads

_STEP = 256 << 10

RAW = ("image/png", "image/jpeg", "image/webp", "image/bmp")


class _InMemory(MultiPartParser):
    spool_max_size = 0  # never to disk: the body as a whole is bounded


def media_type(request: Request) -> str:
    """The request's media type, one that is understood here.

    Raises:
        UnsupportedMediaType: It is none of those.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*RAW, "multipart/form-data", "application/json"):
        raise UnsupportedMediaType(
            f"{kind or 'a body without content type'} is not understood; send multipart/form-data"
            f" with image files, one image as {', '.join(RAW)}, or application/json"
        )
    return kind


async def body(
    request: Request, *, max_bytes: int, timeout_s: float, grow: Callable[[int], None]
) -> bytes:
    """The whole body; `grow` is told of each piece's bytes before they are kept.

    Raises:
        TooLarge: It has more bytes than that, or is announced to have.
        TooSlow: It took longer than that.
        EmptyBody: It has none.
        ClientGone: The client left in the middle.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    read = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                if len(read) + len(piece) > max_bytes:
                    raise _too_large(max_bytes)
                grow(len(piece))
                read += piece
    except TimeoutError as error:
        words = f"{len(read)} bytes came within {timeout_s:g} s, and not all of the body"
        raise TooSlow(words) from error
    except ClientDisconnect as error:
        raise ClientGone("the client left before its images were complete") from error
    if not read:
        raise EmptyBody("there is no image in the body")
    return bytes(read)


@asynccontextmanager
async def held(
    request: Request, predictor: Predictor, settings: ServiceSettings
) -> AsyncIterator[bytes]:
    """The whole body, and room for it until the block ends.

    What has not come takes no room: whoever only announces bodies keeps nobody else out.

    Raises:
        Overloaded: There is no room.
        TooLarge, TooSlow, EmptyBody, ClientGone: As `body` says.
    """
    with predictor.hold(0) as grow:
        yield await body(
            request,
            max_bytes=settings.max_predict_bytes,
            timeout_s=settings.body_timeout_s,
            grow=grow,
        )


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"a prediction request may have {max_bytes} bytes")


async def images(
    data: bytes, request: Request, *, max_images: int, threads: Threads
) -> list[bytes]:
    """The encoded images within a body, in their order; long JSON is read in one of the threads.

    Raises:
        Invalid: There is none, there are too many, or the envelope is broken.
    """
    kind = media_type(request)
    if kind in RAW:
        return [data]
    if kind == "application/json":
        found = await aside(threads, len(data), _from_json, data, max_images)
    else:
        found = await _from_form(data, request.headers, max_images)
    if not found:
        raise Invalid("there is no image in the request", [Fault("/images", "none given")])
    return found


async def _from_form(data: bytes, headers: Headers, max_images: int) -> list[bytes]:
    async def stream() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(data), _STEP):
            yield data[start : start + _STEP]
            await asyncio.sleep(0)  # parsing a large form must not hold up the other requests

    parser = _InMemory(headers, stream(), max_files=max_images, max_fields=16)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Invalid(f"the form cannot be read: {error.message}") from error
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        return [await part.read() for part in files]
    finally:
        await form.close()


def _from_json(data: bytes, max_images: int) -> list[bytes]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid("the body is not valid JSON", [Fault("", "not valid JSON")]) from error
    texts = content.get("images") if isinstance(content, dict) else None
    if not isinstance(texts, list):
        words = 'expected {"images": ["<base64>", …]}'
        raise Invalid(words, [Fault("/images", "a list of base64 texts is needed")])
    if len(texts) > max_images:
        words = f"{len(texts)} images; one request may have {max_images}"
        raise Invalid(words, [Fault("/images", words)])
    found, faults = [], []
    for index, text in enumerate(texts):
        try:
            found.append(base64.b64decode(text, validate=True))
        except (ValueError, TypeError):  # a character that is none of its own, or not a text
            faults.append(Fault(f"/images/{index}", "this is not base64"))
    if faults:
        raise Invalid(f"{len(faults)} of {len(texts)} images are not base64", faults)
    return found
