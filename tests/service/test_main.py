"""The service as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from store.engine import Database
from store.settings import StoreSettings
from tests.factories import create_stream
from tests.service.control import ZIP
from tests.service.serving import until

MIB = 1 << 20
PATH = "/v1/streams/noise/chunks"


def environment(**names: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LURE_")}
    return bare | names


@contextmanager
def process(settings: StoreSettings, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`python -m service`, and where it answers."""
    named = {
        f"LURE_{k.upper()}": str(v)
        for k, v in settings.model_dump(mode="json", exclude_none=True).items()
    }
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env=environment(**named, LURE_PORT="0"),
            stderr=stderr,
        )
    told = re.compile(r"running on (http://[0-9.]+:[0-9]+)")
    try:
        until(lambda: bool(told.search(log.read_text())) or child.poll() is not None, timeout_s=60)
        found = told.search(log.read_text())
        assert found is not None, log.read_text()
        yield child, found.group(1)
    finally:
        child.kill()
        child.wait()
        sys.stderr.write(log.read_text())


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def large_zip(path: Path, *, mebibytes: int) -> None:
    block = os.urandom(4 * MIB)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(mebibytes // 4):
            archive.writestr(zipfile.ZipInfo(f"noise/{number}.png"), block)


def test_missing_settings_are_named() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "service"],
        env=environment(LURE_REDIS_URL="redis://localhost", LURE_PORT="many"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "LURE_DATABASE_URL: Field required" in run.stderr
    assert "LURE_BLOBS: Field required" in run.stderr
    assert "LURE_PORT: " in run.stderr
    assert "Traceback" not in run.stderr


def test_a_large_upload_takes_little_memory_and_sigterm_ends_all(
    settings: StoreSettings, database: Database, tmp_path: Path
) -> None:
    create_stream(database, "noise")
    large_zip(tmp_path / "noise.zip", mebibytes=200)
    log = tmp_path / "api.log"
    with process(settings, log) as (child, url), httpx.Client(base_url=url) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        before = peak_bytes(child.pid)
        with (tmp_path / "noise.zip").open("rb") as body:
            raw = client.post(PATH, content=body, headers=ZIP, timeout=100)
        with (tmp_path / "noise.zip").open("rb") as body:
            form = client.post(PATH, files={"file": ("a.zip", body)}, timeout=100)
        assert (raw.status_code, form.status_code) == (202, 200)
        assert raw.json()["bytes"] > 200 * MIB
        assert peak_bytes(child.pid) - before < 40 * MIB
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
