"""`make smoke-kills`: each container of the stack is killed during a cycle; nothing is lost.

For each in turn: a chunk is sent, and while a cycle learns it the container's first process gets
SIGKILL from the host (`docker kill` would count as a stop by hand, after which Docker starts
nothing again). The chunk must be learned all the same, and `make smoke` must end well. At the end
the learner is stopped as `docker compose stop` does, and must hand its cycle back in time; then the
stack is taken down and brought up again, and everything must still be there.

Needs root on the host: the processes belong to the containers' users. Run it in the folder of
docker-compose.yml.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lure import digits, firstkey, smoke
from lure.client import DEFAULT_URL, Client
from lure.errors import LureError
from lure.waiting import until

SERVICES = ("api", "admit", "learn", "beat", "postgres", "redis")
IMAGES = 400
EPOCHS = 30  # time to be killed in: it is done after the third
LEARNED_S, STARTED_S, READY_S = 900.0, 120.0, 300.0


def main() -> int:
    """Kill those that are named on the command line, or all; then down and up."""
    url = os.environ.get("LURE_URL") or DEFAULT_URL
    began = time.monotonic()
    try:
        with Client(url) as client:
            _must(client.ready(), f"{url} is not ready")
        key = firstkey.find(url)
        for service in sys.argv[1:] or SERVICES:
            kill_one(url, key, service)
        stop_the_learner(url, key)
        down_and_up(url, key)
    except LureError as error:
        sys.stderr.write(f"kills: failed: {error}\n")
        return 1
    _say(f"ok, {time.monotonic() - began:.0f} s in all")
    return 0


def kill_one(url: str, key: str | None, service: str) -> None:
    """A cycle begins, the container dies, the chunk is learned all the same."""
    with Client(url, key) as client:
        stream, chunk = _begun(client, f"kill-{service}")
        container = _container(service)
        pid = _pid(container)
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        _await(
            lambda: _pid(container) not in (0, pid), STARTED_S, f"{service} is not started again"
        )
        back_s = time.monotonic() - killed_at
        attempts = _learned(client, stream, chunk)
        learned_s = time.monotonic() - killed_at
    told = f"back after {back_s:.1f} s, learned after {learned_s:.1f} s, attempts: {attempts}"
    _say(f"{service}: pid {pid} killed; {told}")
    smoke.check(url)
    _say(f"{service}: smoke ended well")


def stop_the_learner(url: str, key: str | None) -> None:
    """It ends by itself, long before Docker would kill it, and the next one goes on."""
    with Client(url, key) as client:
        stream, chunk = _begun(client, "stop-learn")
        container = _container("learn")
        began = time.monotonic()
        _compose("stop", "learn")
        stopped_s = time.monotonic() - began
        status = _run("docker", "inspect", "-f", "{{.State.ExitCode}}", container).strip()
        _must(status == "0", f"the learner ended with {status}, not by itself")
        epoch = _epochs_of(client.cycles(stream)["items"][0])
        _compose("start", "learn")
        attempts = _learned(client, stream, chunk)
    told = f"at epoch {epoch} of {EPOCHS}; started again, learned, attempts: {attempts}"
    _say(f"learn: stopped within {stopped_s:.1f} s {told}")


def _begun(client: Client, name: str) -> tuple[str, str]:
    """A new stream whose first cycle is under way, and its chunk."""
    stream = f"{name}-{uuid.uuid4().hex[:8]}"
    settings = digits.SETTINGS
    recipe = settings["recipe"] | {"learn_epochs": EPOCHS}
    client.create_stream(stream, **settings | {"recipe": recipe})
    with tempfile.TemporaryDirectory(prefix="lure-kill-") as folder:
        path = digits.write(digits.load().part(0, IMAGES), Path(folder) / "chunk.zip")
        chunk = client.upload(stream, path)["id"]
    _await(lambda: _epochs(client, stream) >= 3, LEARNED_S, "no cycle has begun")
    return stream, chunk


def _learned(client: Client, stream: str, chunk: str) -> int:
    """Waits for it; how often its cycle was begun."""
    _await(lambda: _is_learned(client, stream, chunk), LEARNED_S, "it was not learned")
    return int(client.cycles(stream)["items"][0]["attempt"])


def down_and_up(url: str, key: str | None) -> None:
    """What there was before is there afterwards: streams, versions, aliases, answers, the key."""
    with Client(url, key) as client:
        before = _everything(client)
    _say(f"down, with {len(before)} streams")
    _compose("down")
    _compose("up", "-d", "--no-build")
    with Client(url, key) as client:
        _await(client.ready, READY_S, "it is not ready again")
        after = _everything(client)
    _must(after == before, "something is another than before")
    _must(firstkey.find(url) == key, "the key is another one")
    digest = hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:12]
    _say(f"up again: streams, versions, aliases, answers and the key as before ({digest})")
    smoke.check(url)


def _everything(client: Client) -> dict[str, Any]:
    one = digits.load().part(0, 1).pngs()
    names = [stream["name"] for stream in client.streams()["items"]]
    return {name: _told(client, name, one) for name in names}


def _told(client: Client, stream: str, images: list[bytes]) -> dict[str, Any]:
    answer = client.predict(stream, images)
    return {
        "versions": [(one["version"], one["digest"]) for one in client.versions(stream)["items"]],
        "served": answer["model_version"],
        "answers": [(one["label"], one["probability"]) for one in answer["predictions"]],
    }


def _is_learned(client: Client, stream: str, chunk: str) -> bool:
    found = _asked(lambda: client.chunk(stream, chunk))
    _must(found is None or found["state"] not in {"failed", "rejected"}, f"it is {found}")
    return found is not None and found["state"] == "learned"


def _epochs(client: Client, stream: str) -> int:
    """The epochs that the stream's running cycle has behind it; -1: there is none."""
    page = _asked(lambda: client.cycles(stream))
    cycles = page["items"] if page else []
    return (_epochs_of(cycles[0]) or 0) if cycles and cycles[0]["state"] == "running" else -1


def _epochs_of(cycle: Any) -> int | None:
    return (cycle.get("progress") or {}).get("epoch")


def _asked(question: Callable[[], Any]) -> Any:
    """The answer; None while there is none, because something was just killed."""
    try:
        return question()
    except LureError as error:
        if error.status in (0, 500, 502, 503, 504):
            return None
        raise


def _container(service: str) -> str:
    found = _compose("ps", "-q", service).split()
    _must(len(found) == 1, f"there is not one container of {service}")
    return found[0]


def _pid(container: str) -> int:
    """Of the container's first process, on the host; 0: it does not run."""
    return int(_run("docker", "inspect", "-f", "{{.State.Pid}}", container))


def _compose(*words: str) -> str:
    return _run(*firstkey.compose(), *words)


def _run(*argv: str) -> str:
    told = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603
    _must(told.returncode == 0, f"{' '.join(argv)}: {told.stderr.strip()}")
    return told.stdout


def _await(condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    _must(until(condition, timeout_s=timeout_s, poll_s=0.2), otherwise)


def _must(held: bool, otherwise: str) -> None:
    if not held:
        raise LureError(otherwise)


def _say(line: str) -> None:
    sys.stdout.write(f"kills: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
