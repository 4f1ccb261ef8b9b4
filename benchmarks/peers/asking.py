"""The servers that are compared, and how each wants to be asked for a prediction."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from benchmarks.ground import Program
from benchmarks.load import Outcome, Wanted, load
from benchmarks.peers.model import Case
from lure.waiting import until

START_S = 120.0
_BOUNDARY = "----a-boundary-of-the-benchmark"


@dataclass(frozen=True)
class Load:
    """So many clients, asking in one protocol for so long after a warm-up."""

    protocol: str  # json, binary or oip
    clients: int
    seconds: float
    warm_s: float


@dataclass(frozen=True)
class Place:
    """Where a program answers."""

    root: str
    program: Program


@dataclass(eq=False)
class Server:
    """Something that answers. LitServe polls, so that it runs only while it is asked.

    Attributes:
        places: By the number of its workers.
    """

    name: str
    places: Mapping[int, Place]
    workers: int = 1  # of those that are asked

    @property
    def root(self) -> str:
        return self.places[self.workers].root

    @property
    def is_lit(self) -> bool:
        return self.name.startswith("litserve")

    @property
    def protocols(self) -> tuple[str, ...]:
        return ("json", "binary", "oip") if self.name == "lure" else ("json", "binary")

    def load(self, case: Case, wanted: Load) -> Outcome:
        """What comes of it."""
        url, body, headers = self._asked(case, wanted.protocol)
        with self._awake():
            return load(Wanted(url, body, headers, wanted.clients, wanted.seconds, wanted.warm_s))

    def set(self, workers: int, batch: int, timeout_s: float) -> None:
        """LitServe's settings, from now on."""
        self.workers = workers
        with self._awake():
            settings = {"settings": [batch, timeout_s]}
            told = httpx.post(f"{self.root}/predict", json=settings, timeout=30)
        told.raise_for_status()

    def wait(self, case: Case) -> None:
        """Until it answers at all its places; it stands still afterwards if it would poll."""
        for workers in self.places:
            self.workers = workers
            with self._awake():
                assert until(partial(self._answers, case), timeout_s=START_S), self.name

    def _answers(self, case: Case) -> bool:
        url, body, headers = self._asked(case, "json")
        try:
            return httpx.post(url, content=body, headers=headers, timeout=30).is_success
        except httpx.TransportError:
            return False

    @contextmanager
    def _awake(self) -> Iterator[None]:
        if not self.is_lit:
            yield
            return
        program = self.places[self.workers].program
        program.go_on()
        try:
            yield
        finally:
            program.pause()

    def _asked(self, case: Case, protocol: str) -> tuple[str, bytes, dict[str, str]]:
        """URL, body and headers."""
        image = case.image()
        is_ours = self.name == "lure"
        url = self.root + (f"/v1/streams/{case.name}/predictions" if is_ours else "/predict")
        if protocol == "json":
            text = base64.b64encode(image).decode()
            asked = {"images": [text]} if is_ours else {"image": text}
            return url, json.dumps(asked).encode(), _typed("application/json")
        if protocol == "oip":
            return f"{self.root}/v2/models/{case.name}/infer", *_oip(image)
        if self.is_lit:
            return url, *_form(image)
        return url, image, _typed(f"image/{case.format.lower()}")


def _typed(kind: str) -> dict[str, str]:
    return {"Content-Type": kind}


def _form(image: bytes) -> tuple[bytes, dict[str, str]]:
    head = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data;"
        ' name="image"; filename="a"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    body = head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return body, _typed(f"multipart/form-data; boundary={_BOUNDARY}")


def _oip(image: bytes) -> tuple[bytes, dict[str, str]]:
    """The Open Inference Protocol with its binary extension, both ways."""
    tensor = len(image).to_bytes(4, "little") + image
    binary = {"binary_data_size": len(tensor)}
    given = {"name": "images", "shape": [1], "datatype": "BYTES", "parameters": binary}
    asked = {"inputs": [given], "parameters": {"binary_data_output": True}}
    head = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return head + tensor, headers | _typed("application/octet-stream")
