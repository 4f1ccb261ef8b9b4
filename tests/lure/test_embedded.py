"""`lure up` as a person runs it: real processes, ended in every way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lure import layout, proc
from lure.client import Client
from lure.waiting import until
from tests.digits import digits_zip

END_S = 45.0
CHILDREN = {"postgres", "redis", "api", "admit", "learn", "beat"}


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    data: Path
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"^lure: ready at (\S+)$", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    def pid(self, name: str) -> int:
        """The newest process of a child."""
        return int(re.findall(rf"{name} runs.*\(process (\d+)\)", self.text)[-1])

    def everything(self) -> list[proc.Entry]:
        return proc.family(self.process.pid)

    def says(self, text: str, timeout_s: float = 90.0) -> bool:
        return until(
            lambda: text in self.text or self.process.poll() is not None, timeout_s=timeout_s
        ) and (text in self.text)


def command(data: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "lure", "up", "--data", str(data), *more]


@contextmanager
def up(data: Path) -> Iterator[Up]:
    """`lure up` on a free port, ready; killed at the end if it still runs."""
    output = data.parent / "up.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(command(data, "--port", "0"), stdout=file, stderr=file)
    running = Up(process, data, output)
    try:
        assert running.says("ready at"), running.text
        yield running
    finally:
        left = running.everything() if process.poll() is None else []
        process.kill()
        process.wait()
        assert gone(left)


def gone(processes: list[proc.Entry]) -> bool:
    return until(lambda: not any(map(proc.alive, processes)), timeout_s=10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up") / "data") as running:
        yield running


def test_the_workers_show_their_queues_on_their_command_lines(running: Up) -> None:
    for name in ("admit", "learn"):
        line = Path(f"/proc/{running.pid(name)}/cmdline").read_bytes().split(b"\0")
        assert line[line.index(b"-Q") + 1] == name.encode()


def test_a_second_up_on_the_same_folder_is_refused(running: Up) -> None:
    second = subprocess.run(
        command(running.data, "--port", "0"), capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert f"another `lure up` (process {running.process.pid})" in second.stderr
    assert second.stdout == ""


def test_a_port_in_use_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            command(tmp_path / "data", "--port", port), capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize("name", ["redis", "beat", "postgres"])
def test_a_child_that_dies_comes_back(running: Up, name: str) -> None:
    before = running.pid(name)
    os.kill(before, signal.SIGKILL)
    assert running.says(f"{name} was ended by SIGKILL; starting it again in 1 s")
    assert until(lambda: running.pid(name) != before, timeout_s=30), running.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_its_own_process_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o750)
    (data / "notes.txt").write_text("mine")
    with up(data) as running:
        everything = running.everything()
        assert {name for name in CHILDREN if proc.entry(running.pid(name))} == CHILDREN
        running.process.send_signal(number)
        assert running.process.wait(END_S) == 0, running.text
        assert gone(everything)
        assert not proc.marked(layout.MARK, str(data))
    assert (data / "notes.txt").read_text() == "mine"
    assert data.stat().st_mode & 0o777 == 0o750


def test_stopping_while_it_comes_up_ends_all(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path / "data", "--port", "0"), stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        assert any("redis runs" in line for line in process.stderr)
        everything = proc.family(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) == 0
    assert gone(everything)


def test_killed_in_mid_cycle_it_goes_on_when_started_again(tmp_path: Path) -> None:
    chunk = tmp_path / "chunk.zip"
    chunk.write_bytes(digits_zip(range(200)))
    with up(tmp_path / "data") as first:
        with Client(first.url) as client:
            client.create_stream("digits", architecture="resnet20s", recipe={"epochs": 40})
            sent = client.upload("digits", chunk)
            learning = client.wait_for_chunk(
                "digits", sent["id"], done=lambda one: one["state"] == "learning", timeout_s=60
            )
        assert learning["state"] == "learning"
        everything = first.everything()
        for one in everything:
            os.kill(one.pid, signal.SIGKILL)
        first.process.wait()
        assert gone(everything)
    with up(tmp_path / "data") as again, Client(again.url) as client:
        learned = client.wait_for_chunk("digits", sent["id"], timeout_s=100)
        assert (learned["state"], learned["version"]) == ("learned", 1)
        assert len(client.versions("digits")["items"]) == 1
