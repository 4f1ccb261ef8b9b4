"""The servers that are compared, and how each wants to be asked for a prediction."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from benchmarks.ground import Program
from benchmarks.load import Outcome, Wanted, load
from benchmarks.peers.model import Case

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
class Server:
    """Something that answers. LitServe polls, so that it runs only while it is asked."""

    name: str
    root: str
    program: Program

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

    def set(self, batch: int, timeout_s: float) -> None:
        """LitServe's settings, from now on."""
        with self._awake():
            told = httpx.post(f"{self.root}/predict", json={"settings": [batch, timeout_s]})
        told.raise_for_status()

    def wait(self, case: Case) -> None:
        """Until it answers; it stands still afterwards if it would poll."""
        url, body, headers = self._asked(case, "json")
        gives_up = time.monotonic() + START_S
        with self._awake():
            while time.monotonic() < gives_up:
                try:
                    if httpx.post(url, content=body, headers=headers, timeout=30).is_success:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
        raise SystemExit(f"{self.name} does not answer")

    @contextmanager
    def _awake(self) -> Iterator[None]:
        if not self.is_lit:
            yield
            return
        self.program.go_on()
        try:
            yield
        finally:
            self.program.pause()

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
