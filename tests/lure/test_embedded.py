"""`lure up` as a person runs it: real processes, ended in every way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lure import layout, proc
from lure.client import Client
from lure.waiting import until
from tests.digits import digits_zip

pytestmark = pytest.mark.timeout(300)  # on a busy machine a stack may take a minute to come up

END_S = 45.0
READY_S = 180.0
CHILDREN = ("postgres", "redis", "api", "admit", "learn", "beat")


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

    def says(self, text: str, timeout_s: float = READY_S) -> bool:
        return until(
            lambda: text in self.text or self.process.poll() is not None, timeout_s=timeout_s
        ) and (text in self.text)

    def brings_back(self, name: str) -> bool:
        """Whether a child that is killed runs again."""
        before = self.pid(name)
        os.kill(before, signal.SIGKILL)
        return until(lambda: self.pid(name) != before, timeout_s=30)


def command(data: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "lure", "up", "--data", str(data), *more]


@contextmanager
def up(data: Path, *wrapper: str) -> Iterator[Up]:
    """`lure up` on a free port, ready; killed at the end if it still runs."""
    output = data.parent / "up.txt"
    with output.open("wb") as file:
        argv = [*wrapper, *command(data, "--port", "0")]
        process = subprocess.Popen(argv, stdout=file, stderr=file)
    running = Up(process, data, output)
    try:
        assert running.says("ready at"), running.text
        yield running
    finally:
        left = running.everything() if process.poll() is None else []
        process.kill()
        process.wait()
        assert gone(left)


@contextmanager
def ended_at_last(process: subprocess.Popen[str]) -> Iterator[None]:
    with process:
        try:
            yield
        finally:
            process.kill()


def beats(data: Path) -> set[int]:
    """The processes of a stack's clock."""
    found = set()
    for one in proc.marked(layout.MARK, str(data)):
        with suppress(OSError):  # it has ended
            line = Path(f"/proc/{one.pid}/cmdline").read_bytes()
            found |= {one.pid} if b"\0beat\0" in line else set()
    return found


def gone(processes: list[proc.Entry]) -> bool:
    return until(lambda: not any(map(proc.alive, processes)), timeout_s=10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up") / "data", "nohup") as running:
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


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_that_dies_comes_back_after_a_second(running: Up, name: str) -> None:
    assert running.brings_back(name), running.text
    assert f"{name} was ended by SIGKILL; starting it again in 1 s" in running.text


def test_under_nohup_a_hang_up_is_ignored(running: Up) -> None:
    running.process.send_signal(signal.SIGHUP)
    assert running.brings_back("beat"), running.text


@pytest.mark.slow
def test_sigint_to_its_own_process_ends_all(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o750)
    (data / "notes.txt").write_text("mine")
    with up(data) as running:
        everything = running.everything()
        assert all(proc.entry(running.pid(name)) for name in CHILDREN)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(END_S) == 0, running.text
        assert gone(everything)
        assert not proc.marked(layout.MARK, str(data))
    assert (data / "notes.txt").read_text() == "mine"
    assert data.stat().st_mode & 0o777 == 0o750


@pytest.fixture
def terminal() -> Iterator[None]:
    """As a terminal starts its programs: not deaf to its end, as `nohup` and some runners do."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.usefixtures("terminal")
def test_whoever_reads_its_words_may_leave_and_the_terminal_hang_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path / "data", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with ended_at_last(process):
        assert process.stdout is not None
        words = iter(process.stdout)
        beat = next(line for line in words if "beat runs" in line)
        ready = next(line for line in words if "ready at" in line)
        process.stdout.close()
        everything = proc.family(process.pid)
        before = int(re.findall(r"process (\d+)", beat)[0])
        os.kill(before, signal.SIGKILL)
        assert until(lambda: beats(tmp_path / "data") - {before} != set(), timeout_s=30)
        with Client(ready.split()[-1]) as client:
            assert client.ready()
        process.send_signal(signal.SIGHUP)
        assert process.wait(END_S) == 0
    assert gone(everything)
    assert not proc.marked(layout.MARK, str(tmp_path / "data"))


def test_stopping_while_it_comes_up_ends_all(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path / "data", "--port", "0"), stderr=subprocess.PIPE, text=True
    )
    with ended_at_last(process):
        assert process.stderr is not None
        assert any("redis runs" in line for line in process.stderr)
        everything = proc.family(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) == 0
    assert gone(everything)


@pytest.mark.slow
def test_killed_or_stopped_in_mid_cycle_it_goes_on_when_started_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data) as first, Client(first.url) as client:
        client.create_stream("digits", architecture="resnet20s", recipe={"epochs": 40})
        chunk = push(client, tmp_path, range(200))
        await_learning(client, chunk)
        everything = first.everything()
        for one in everything:
            with suppress(ProcessLookupError):  # it went with one that was killed before it
                os.kill(one.pid, signal.SIGKILL)
        first.process.wait()
        assert gone(everything)
    with up(data) as second, Client(second.url) as client:
        await_learning(client, chunk)
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(END_S) == 0, second.text
        assert not proc.marked(layout.MARK, str(data))
    with up(data) as third, Client(third.url) as client:
        another = push(client, tmp_path, range(200, 260))
        for version, one in enumerate((chunk, another), start=1):
            learned = client.wait_for_chunk("digits", one, timeout_s=150)
            assert (learned["state"], learned["version"]) == ("learned", version)
        assert len(client.versions("digits")["items"]) == 2


def push(client: Client, folder: Path, indices: range) -> str:
    path = folder / "chunk.zip"
    path.write_bytes(digits_zip(indices))
    return client.upload("digits", path)["id"]


def await_learning(client: Client, chunk: str) -> None:
    learning = client.wait_for_chunk(
        "digits", chunk, done=lambda one: one["state"] == "learning", timeout_s=90
    )
    assert learning["state"] == "learning"
