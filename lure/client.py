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

import httpx

from lure import shapes, sse, uploads
from lure.calls.access import AccessCalls
from lure.calls.base import of_stream
from lure.calls.feedback import FeedbackCalls
from lure.calls.figures import FiguresCalls
from lure.calls.registry import RegistryCalls
from lure.calls.reruns import RerunCalls
from lure.calls.webhooks import WebhookCalls
from lure.errors import LureError
from lure.http import Http

DEFAULT_URL = "http://127.0.0.1:8000"
SETTLED = frozenset({"learned", "rejected", "failed", "retracted", "quarantined"})
FREQUENT = frozenset({"cycle.stage", "cycle.progress"})
LOOK_EVERY_S = 2.0
READY_S = 5.0


class Client(RegistryCalls, FiguresCalls, RerunCalls, FeedbackCalls, AccessCalls, WebhookCalls):
    """A client of one service; not to be shared between threads.

    Args:
        url: where the service answers.
        api_key: where it needs one; None: the environment's LURE_API_KEY.
        retries: see `lure.http.Http`.
    """

    def __init__(self, url: str, api_key: str | None = None, *, retries: int = 5) -> None:
        super().__init__(Http(url, api_key, retries=retries))

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
        return self.pages("/v1/streams")

    def stream(self, name: str) -> shapes.Stream:
        return cast(shapes.Stream, self.http.json("GET", of_stream(name)))

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

    def change_stream(self, name: str, patch: Mapping[str, Any]) -> shapes.Stream:
        """Changes a stream's recipe or policies: a JSON merge patch of what is there now.

        Raises:
            LureError: 412 when somebody else changed it at the same time.
        """
        path = of_stream(name)
        headers = {"If-Match": self.etag(path)}
        changed = self.http.json("PATCH", path, json=patch, headers=headers, idempotent=False)
        return cast(shapes.Stream, changed)

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
            where = of_stream(stream, "chunks")
            return self.http.client.build_request("POST", where, headers=headers, content=body)

        return cast(shapes.Chunk, self.http.answer(build).json())

    def chunks(self, stream: str) -> shapes.Page:
        """The stream's chunks, newest first."""
        return self.pages(of_stream(stream, "chunks"))

    def chunk(self, stream: str, chunk: str) -> shapes.Chunk:
        return cast(shapes.Chunk, self.http.json("GET", of_stream(stream, "chunks", chunk)))

    def report(self, stream: str, chunk: str) -> dict[str, Any]:
        """What admission found in a chunk."""
        path = of_stream(stream, "chunks", chunk, "report")
        return cast(dict[str, Any], self.http.json("GET", path))

    def cycles(self, stream: str) -> shapes.Page:
        """The stream's cycles, newest first."""
        return self.pages(of_stream(stream, "cycles"))

    def cycle(self, stream: str, cycle: str) -> shapes.Cycle:
        return cast(shapes.Cycle, self.http.json("GET", of_stream(stream, "cycles", cycle)))

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
        path = of_stream(stream, "predictions")
        with ExitStack() as opened:
            files = [("images", uploads.part(image, opened)) for image in images]

            def build() -> httpx.Request:
                uploads.rewind(files)
                return self.http.client.build_request("POST", path, params=params, files=files)

            return cast(shapes.Predictions, self.http.answer(build).json())

    def events(self, stream: str | None = None) -> Iterator[sse.Event | None]:
        """Events of one stream or of all, for ever; see `lure.sse.listen`."""
        where = "/v1" if stream is None else of_stream(stream)
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
