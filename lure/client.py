"""The service's HTTP API in Python.

    with Client("http://127.0.0.1:8000") as client:
        client.create_stream("digits")
        chunk = client.upload("digits", Path("digits.zip"))
        client.wait_for_chunk("digits", chunk["id"])
        client.predict("digits", [Path("seven.png")])

Every method raises `LureError` when the service refuses, `Unreachable` when it gives no answer.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote

import httpx

from lure import shapes, sse, uploads
from lure.errors import LureError
from lure.http import Http

DEFAULT_URL = "http://127.0.0.1:8000"
SETTLED = frozenset({"learned", "rejected", "failed", "retracted", "quarantined"})
FREQUENT = frozenset({"cycle.stage", "cycle.progress"})
PAGE_SIZE = 500
LOOK_EVERY_S = 2.0
READY_S = 5.0


class Client:
    """A client of one service; not to be shared between threads.

    Args:
        url: where the service answers.
        retries: see `lure.http.Http`.
    """

    def __init__(self, url: str, *, retries: int = 5) -> None:
        self.http = Http(url, retries=retries)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ready(self) -> bool:
        """Whether the service answers, and can do what it is there for."""
        try:
            return self.http.client.get("/readyz", timeout=READY_S).is_success
        except httpx.TransportError:
            return False

    def streams(self) -> shapes.Page:
        """All streams."""
        return self._pages("/v1/streams")

    def stream(self, name: str) -> shapes.Stream:
        return cast(shapes.Stream, self.http.json("GET", _stream(name)))

    def create_stream(self, name: str, **settings: Any) -> shapes.Stream:
        """Makes a stream.

        Args:
            name: of the stream; 409 when it exists.
            settings: classes, input, architecture, recipe, policies; each has a default.
        """
        body = {"name": name, **settings}
        key = {"Idempotency-Key": str(uuid.uuid4())}
        made = self.http.json("POST", "/v1/streams", json=body, headers=key)
        return cast(shapes.Stream, made)

    def upload(
        self, stream: str, path: Path, *, on_bytes: Callable[[int], None] = lambda _: None
    ) -> shapes.Chunk:
        """Sends a chunk (.zip or .npz) from disk; it is accepted, not yet learned.

        Args:
            stream: the stream's name.
            path: of the file.
            on_bytes: told how many bytes were sent so far, from 0 again after a lost connection.
        """
        headers = {
            **uploads.headers(path),
            "Idempotency-Key": str(uuid.uuid4()),  # the same in every attempt of this upload
        }

        def build() -> httpx.Request:
            body = uploads.blocks(path, on_bytes=on_bytes)
            where = f"{_stream(stream)}/chunks"
            return self.http.client.build_request("POST", where, headers=headers, content=body)

        return cast(shapes.Chunk, self.http.answer(build).json())

    def chunks(self, stream: str) -> shapes.Page:
        """The stream's chunks, newest first."""
        return self._pages(f"{_stream(stream)}/chunks")

    def chunk(self, stream: str, chunk: str) -> shapes.Chunk:
        return cast(shapes.Chunk, self.http.json("GET", f"{_stream(stream)}/chunks/{chunk}"))

    def report(self, stream: str, chunk: str) -> dict[str, Any]:
        """What admission found in a chunk."""
        path = f"{_stream(stream)}/chunks/{chunk}/report"
        return cast(dict[str, Any], self.http.json("GET", path))

    def cycles(self, stream: str) -> shapes.Page:
        """The stream's cycles, newest first."""
        return self._pages(f"{_stream(stream)}/cycles")

    def cycle(self, stream: str, cycle: str) -> shapes.Cycle:
        return cast(shapes.Cycle, self.http.json("GET", f"{_stream(stream)}/cycles/{cycle}"))

    def versions(self, stream: str) -> shapes.Page:
        """The stream's versions, newest first."""
        return self._pages(f"{_stream(stream)}/versions")

    def version(self, stream: str, version: int) -> shapes.Version:
        return cast(shapes.Version, self.http.json("GET", f"{_stream(stream)}/versions/{version}"))

    def alias(self, stream: str, alias: str = "champion") -> shapes.Alias:
        return cast(shapes.Alias, self.http.json("GET", _alias(stream, alias)))

    def move_alias(
        self,
        stream: str,
        version: int,
        *,
        alias: str = "champion",
        reason: str = "",
    ) -> shapes.Alias:
        """Points an alias at a version; a champion moved so stays until it is released.

        Raises:
            LureError: 412 when somebody else moved it at the same time.
        """
        path = _alias(stream, alias)
        known = self.http.answer(lambda: self.http.client.build_request("GET", path))
        headers = {"If-Match": known.headers.get("ETag", "*")}
        body = {"version": version, "reason": reason}
        moved = self.http.json("PUT", path, headers=headers, json=body, idempotent=False)
        return cast(shapes.Alias, moved)

    def rollback(self, stream: str, *, reason: str = "") -> shapes.Alias:
        """Points the champion at the one before; holds automatic promotion until released."""
        return self._act(f"{_alias(stream, 'champion')}:rollback", {"reason": reason})

    def release(self, stream: str) -> shapes.Alias:
        """Lets the gate move the champion again."""
        return self._act(f"{_alias(stream, 'champion')}:release", {})

    def predict(
        self,
        stream: str,
        images: Sequence[Path | bytes],
        *,
        version: str | None = None,
        top_k: int | None = None,
    ) -> shapes.Predictions:
        """Classifies image files (PNG, JPEG, WebP, BMP) in one request.

        Args:
            stream: the stream's name.
            images: paths, or the files' bytes.
            version: a number or `@alias`; None: the champion.
            top_k: how many classes to name for each image.
        """
        query = {"version": version, "top_k": top_k}
        params = {name: value for name, value in query.items() if value is not None}
        path = f"{_stream(stream)}/predictions"
        with ExitStack() as opened:
            files = [("images", uploads.part(image, opened)) for image in images]

            def build() -> httpx.Request:
                uploads.rewind(files)
                return self.http.client.build_request("POST", path, params=params, files=files)

            return cast(shapes.Predictions, self.http.answer(build).json())

    def events(self, stream: str | None = None) -> Iterator[sse.Event | None]:
        """Events of one stream or of all, for ever; see `lure.sse.listen`."""
        where = "/v1" if stream is None else _stream(stream)
        return sse.listen(self.http.client, f"{where}/events")

    def wait_for_chunk(
        self,
        stream: str,
        chunk: str,
        *,
        done: Callable[[shapes.Chunk], bool] = lambda chunk: chunk["state"] in SETTLED,
        on_event: Callable[[sse.Event], None] = lambda _: None,
        timeout_s: float | None = None,
    ) -> shapes.Chunk:
        """Waits until a chunk is `done`: learned, or never going to be.

        Raises:
            LureError: it is not done after `timeout_s`.
        """
        begun = looked = time.monotonic()
        found = self.chunk(stream, chunk)
        for event in self.events(stream) if not done(found) else ():
            if event is not None:
                on_event(event)
            telling = event is None or event.name not in FREQUENT
            if telling or time.monotonic() - looked > LOOK_EVERY_S:
                looked = time.monotonic()
                found = self.chunk(stream, chunk)
            if done(found):
                break
            if timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise LureError(f"chunk {chunk} is still {found['state']} after {timeout_s:.0f} s")
        return found

    def _act(self, path: str, body: Mapping[str, str]) -> shapes.Alias:
        return cast(shapes.Alias, self.http.json("POST", path, json=body, idempotent=False))

    def _pages(self, path: str) -> shapes.Page:
        """All pages as one."""
        query: dict[str, str | int] = {"page_size": PAGE_SIZE}
        whole: shapes.Page = self.http.json("GET", path, params=query)
        while token := whole.get("next_page_token"):
            page = self.http.json("GET", path, params={**query, "page_token": token})
            whole["items"] += page["items"]
            whole["next_page_token"] = page.get("next_page_token")
        return whole


def _stream(name: str) -> str:
    return f"/v1/streams/{quote(name, safe='')}"


def _alias(stream: str, alias: str) -> str:
    return f"{_stream(stream)}/aliases/{quote(alias, safe='')}"
