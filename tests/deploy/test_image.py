"""What goes into the image, and the two scripts in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.deploy import reading

ENTRY = reading.ROOT / "deploy/compose/entry"
HEALTH = reading.ROOT / "deploy/compose/health"
DOCKERFILE = (reading.ROOT / "Dockerfile").read_text()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A folder for PATH whose `python` and `lure` say what they were called with."""
    for name in ("python", "lure"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("said", "done"),
    [
        (["api"], "python -m service"),
        ([], "python -m service"),
        (["admit"], "python -m worker worker -Q admit -c 2"),
        (["learn"], "python -m worker worker -Q learn -c 1"),
        (["learn", "-l", "DEBUG"], "python -m worker worker -Q learn -c 1 -l DEBUG"),
        (["beat"], "python -m worker beat -s /tmp/beat"),
        (["migrate"], "python -m store.admin migrate"),
        (["init"], "python -m store.admin init /run/lure/init"),
        (["init", "/elsewhere"], "python -m store.admin init /elsewhere"),
        (["lure", "status"], "lure status"),
        (["python", "-m", "store.admin", "gc"], "python -m store.admin gc"),
    ],
)
def test_one_image_several_commands(words: Path, said: list[str], done: str) -> None:
    path = f"{words}{os.pathsep}{os.defpath}"

    told = subprocess.run(
        [ENTRY, *said], env={"PATH": path}, capture_output=True, text=True, check=True
    )

    assert told.stdout == done + "\n"


def test_the_command_takes_the_place_of_the_script() -> None:
    """Or else a container's SIGTERM would end at the shell."""
    with subprocess.Popen([ENTRY, "sleep", "60"]) as process:
        process.terminate()
        assert process.wait(10) == -15


def test_compose_and_image_know_the_same_commands() -> None:
    services = reading.compose()["services"]

    for name in reading.OWN:
        word = services[name]["command"][0]
        assert re.search(rf"^{word}\) exec ", ENTRY.read_text(), re.MULTILINE), name


def test_the_image_is_not_built_as_only_new_builders_can() -> None:
    assert "# syntax=" not in DOCKERFILE
    assert not re.search(r"^(RUN --mount|COPY --(chmod|link|chown)|RUN <<)", DOCKERFILE, re.M)


def test_the_image_is_what_it_says() -> None:
    project = tomllib.loads((reading.ROOT / "pyproject.toml").read_text())["project"]

    assert f'image.version="{project["version"]}"' in DOCKERFILE
    assert f'image.licenses="{project["license"]}"' in DOCKERFILE
    assert DOCKERFILE.startswith("#")
    assert re.findall(r"^ARG (\w+=.*)$", DOCKERFILE, re.M) == [
        "PYTHON_IMAGE=python:3.12-slim-bookworm",
        "TORCH_INDEX_URL=",
        "REVISION=unknown",
    ]
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) == ["${PYTHON_IMAGE}"] * 2


def test_the_image_is_not_root() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.M)

    assert users == ["10001:10001"]
    assert DOCKERFILE.index("USER 10001") > DOCKERFILE.rindex("RUN ")


def test_init_finds_a_folder_of_its_own_for_every_volume() -> None:
    """A volume takes its owner from the folder that it is first mounted over."""
    made = set(re.findall(r"/run/lure/init/\w+", DOCKERFILE))
    mounted = {
        volume.split(":")[1]
        for name in ("docker-compose.yml", "docker-compose.s3.yml")
        for volume in reading.compose(name)["services"]["init"]["volumes"]
    }

    assert made == mounted


def test_only_what_is_named_goes_to_the_builder() -> None:
    lines = (reading.ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    packages = tomllib.loads((reading.ROOT / "pyproject.toml").read_text())
    found = packages["tool"]["setuptools"]["packages"]["find"]["include"]

    assert rules[0] == "*"
    assert {f"!{name.rstrip('*')}" for name in found} <= set(rules)
    assert not {"!tests", "!benchmarks", "!docs", "!.env"} & set(rules)


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server on some port whose every answer has that status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"detail": "the reason"}')

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def look(tmp_path: Path, words: list[str], state: str, port: int = 9) -> tuple[int, str]:
    """What the health check says where one process runs."""
    process = tmp_path / "proc" / "7"
    process.mkdir(parents=True)
    (process / "cmdline").write_text("\0".join([*words, ""]))
    (process / "stat").write_text(f"7 (a (strange) name) {state} 1 7 7 0")
    told = subprocess.run(
        [sys.executable, "-IS", HEALTH, str(tmp_path / "proc")],
        env={"LURE_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )
    return told.returncode, told.stderr


API = ["python", "-m", "service"]
WORKER = ["python", "-m", "worker", "worker", "-Q", "learn"]


def test_an_api_is_well_when_it_is_ready(tmp_path: Path) -> None:
    with answering(200) as port:
        assert look(tmp_path, API, "S", port) == (0, "")


def test_an_api_that_is_not_ready_says_why(tmp_path: Path) -> None:
    with answering(503) as port:
        status, said = look(tmp_path, API, "S", port)

    assert status == 1
    assert '503 {"detail": "the reason"}' in said


def test_an_api_that_does_not_answer_is_not_well(tmp_path: Path) -> None:
    assert look(tmp_path, API, "S")[0] == 1


@pytest.mark.parametrize("state", ["S", "R", "D"])
def test_a_worker_that_runs_is_well(tmp_path: Path, state: str) -> None:
    assert look(tmp_path, WORKER, state) == (0, "")


def test_a_worker_that_is_stopped_is_not_well(tmp_path: Path) -> None:
    status, said = look(tmp_path, WORKER, "T")

    assert status == 1
    assert "process 7 of the worker is stopped" in said


def test_other_commands_are_not_looked_at(tmp_path: Path) -> None:
    assert look(tmp_path, ["python", "-m", "store.admin", "migrate"], "T") == (0, "")
