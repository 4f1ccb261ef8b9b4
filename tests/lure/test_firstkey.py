"""Where `make smoke` takes its key from, with programs that stand for Docker's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lure import firstkey
from lure.errors import LureError


@pytest.fixture
def service() -> Iterator[HTTPServer]:
    """A service that has no streams, and wants a key once `needs_key` is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refused = getattr(self.server, "needs_key", False)
            self.send_response(401 if refused else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}" if refused else b'{"items": [], "next": null}')

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH, and a working directory with a compose file."""
    monkeypatch.delenv("LURE_API_KEY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker-compose.yml").touch()
    return tmp_path


def url(service: HTTPServer) -> str:
    return f"http://127.0.0.1:{service.server_port}"


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_service_that_needs_no_key_gets_none(service: HTTPServer, programs: Path) -> None:
    assert firstkey.find(url(service)) is None


def test_the_key_of_the_environment_comes_first(
    service: HTTPServer, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LURE_API_KEY", "lure_given")

    assert firstkey.find(url(service)) == "lure_given"


def test_the_stack_is_asked_by_compose_v2_where_it_is(service: HTTPServer, programs: Path) -> None:
    service.needs_key = True  # type: ignore[attr-defined]
    program(programs, "docker", 'test "$1" = compose && echo "v2 $*"')
    program(programs, "docker-compose", "exit 1")

    assert firstkey.find(url(service)) == "v2 compose exec -T api lure keys bootstrap"


def test_the_stack_is_asked_by_docker_compose_where_that_is_what_there_is(
    service: HTTPServer, programs: Path
) -> None:
    service.needs_key = True  # type: ignore[attr-defined]
    program(programs, "docker", "exit 1")
    program(programs, "docker-compose", 'echo "v1 $*"')

    assert firstkey.find(url(service)) == "v1 exec -T api lure keys bootstrap"


@pytest.mark.parametrize(
    "foreign",
    ["https://lure.example", "http://127.0.0.1.example:8000", "http://127.0.0.1@203.0.113.9"],
)
def test_the_stacks_key_is_shown_to_this_machine_alone(
    programs: Path, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    monkeypatch.setattr(firstkey, "_is_needed", lambda _: True)
    program(programs, "docker-compose", "touch asked; echo lure_of_the_stack")

    with pytest.raises(LureError, match="LURE_API_KEY"):
        firstkey.find(foreign)
    assert not (programs / "asked").exists()


def test_a_stack_that_does_not_answer_is_told_of(service: HTTPServer, programs: Path) -> None:
    service.needs_key = True  # type: ignore[attr-defined]
    program(programs, "docker-compose", "echo no such service >&2; exit 1")

    with pytest.raises(LureError, match="LURE_API_KEY: no such service"):
        firstkey.find(url(service))


def test_without_compose_the_remedy_is_told(service: HTTPServer, programs: Path) -> None:
    service.needs_key = True  # type: ignore[attr-defined]

    with pytest.raises(LureError, match="there is no Docker Compose here"):
        firstkey.find(url(service))


def test_without_a_stack_the_remedy_is_told(service: HTTPServer, programs: Path) -> None:
    service.needs_key = True  # type: ignore[attr-defined]
    (programs / "docker-compose.yml").unlink()

    with pytest.raises(LureError, match="name a key in LURE_API_KEY"):
        firstkey.find(url(service))
