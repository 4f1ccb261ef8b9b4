"""What a bucket costs beside a folder: put, fetch, read of a cached copy.

    python -m benchmarks.storage [--repeats 7]

The bucket is the one that `LURE_BLOBS` and `LURE_S3_…` name; without them it is moto's server, in a
process of its own on this machine, which tells what the client costs, and nothing of a real store.
Both take turns; medians, and the ratio of them. Rows are left out: they cost the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from lure.waiting import until
from store.blobs.opening import place_of
from store.blobs.place import Place
from store.settings import StoreSettings

_SIZES = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "32 MiB": 32 << 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print("| bytes | | folder, ms | bucket, ms | ratio |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name, _bucket(Path(name)) as there:
        here = Path(name)
        folder = _settings(blobs=str(here / "blobs"))
        for words, size in _SIZES.items():
            took: dict[str, list[tuple[float, float]]] = {}
            for number in range(repeats):
                data = secrets.token_bytes(size)
                cache = here / f"cache-{size}-{number}"
                for step, seconds in _steps(folder, data):
                    took.setdefault(step, []).append((seconds, 0.0))
                bucket = there.model_copy(update={"cache": cache})
                for step, seconds in _steps(bucket, data):
                    took[step][-1] = (took[step][-1][0], seconds)
            for step, pairs in took.items():
                one, other = (
                    1000 * statistics.median(column) for column in zip(*pairs, strict=True)
                )
                print(f"| {words} | {step} | {one:.1f} | {other:.1f} | {other / one:.1f} |")


def _steps(settings: StoreSettings, data: bytes) -> Iterator[tuple[str, float]]:
    """Each step with the seconds that it took; who fetches has seen nothing of it before."""
    digest = hashlib.sha256(data).hexdigest()
    writer, reader = (place_of(settings, lambda *_: None) for _ in range(2))
    yield "put", _timed(lambda: writer.put_bytes(data, digest, is_new=True))
    yield "fetch", _timed(lambda: _whole(reader, digest))
    yield "again", _timed(lambda: _whole(reader, digest))
    reader.discard(digest)
    reader.forget(digest, reader.discarded_of(digest))


def _whole(place: Place, digest: str) -> None:
    assert hashlib.sha256(place.local(digest).read_bytes()).hexdigest() == digest


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _settings(**more: object) -> StoreSettings:
    return StoreSettings.model_validate({"database_url": "", "redis_url": "", **more})


@contextmanager
def _bucket(folder: Path) -> Iterator[StoreSettings]:
    """The bucket of the settings, or one of moto's."""
    if os.environ.get("LURE_BLOBS", "").startswith("s3://"):
        yield _settings()
        return
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with (
        (folder / "moto.log").open("wb") as log,
        subprocess.Popen(argv, stdout=log, stderr=log) as server,
    ):
        try:
            assert until(lambda: _answers(url), timeout_s=60), "moto's server did not start"
            httpx.put(f"{url}/lure").raise_for_status()
            key = {"s3_access_key_id": "lure", "s3_secret_access_key": "lure"}
            yield _settings(blobs="s3://lure", s3_endpoint=url, s3_region="us-east-1", **key)
        finally:
            server.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < 500
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
