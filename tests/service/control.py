"""What the tests of the control plane share: sending chunks, reading problems, raw sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

ZIP = {"content-type": "application/zip"}
NPZ = {"content-type": "application/x-npz"}


def push(
    client: httpx.Client, stream: str, data: Any, headers: dict[str, str] = ZIP, **more: str
) -> httpx.Response:
    """Send a chunk; `more` are headers, spelled with underscores."""
    spelled = {name.replace("_", "-"): value for name, value in more.items()}
    path = f"/v1/streams/{stream}/chunks"
    return client.post(path, content=data, headers=headers | spelled)


def problem(answer: httpx.Response, status: int, slug: str | None = None) -> dict[str, Any]:
    """The problem in an answer, well formed."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:lure:problem:")
    assert slug is None or body["type"] == f"urn:lure:problem:{slug}"
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
    assert body["trace_id"] == answer.headers["traceparent"].split("-")[1]
    return body


def files(blobs: Path) -> set[Path]:
    """Everything that lies in the blobs' folder, finished or not."""
    return {path for path in blobs.rglob("*") if path.is_file()}


def connect(url: str) -> socket.socket:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    return socket.create_connection((host, port), timeout=20)


def head(stream: str, **headers: str) -> bytes:
    """The head of an upload; names are spelled with underscores."""
    fields = {"host": "test", "content-type": "application/zip"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"POST /v1/streams/{stream}/chunks HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answer(connection: socket.socket) -> bytes:
    """Everything that the service sends until it closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received
