"""A worker whose bytes lie in a bucket, also while that is away."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from store.blobs.cache import Cache
from store.settings import StoreSettings
from store.states import ChunkState
from tests.buckets import S3
from tests.conftest import Servers, settings_for
from tests.digits import digits_zip
from tests.relay import Relay
from tests.service.serving import until
from tests.worker.conftest import Bench
from worker import admission, pipeline
from worker.loading import Files
from worker.ranks.launch import _linked


@pytest.fixture
def settings(servers: Servers, s3: S3, relay: Relay, tmp_path: Path) -> StoreSettings:
    return s3.reached_by(relay, settings_for(servers, tmp_path / "unused"), tmp_path / "cache")


def test_chunks_are_admitted_and_learned_out_of_a_bucket(bench: Bench) -> None:
    stream = bench.stream()
    for first in (0, 60):
        assert bench.admitted(stream, range(first, first + 60)).state is ChunkState.ADMITTED
        pipeline.process_next(bench.context, stream.id)
    assert len(bench.digests("digits")) == 2
    bench.context.blobs.check(bench.digests("digits")[0])


def test_more_chunk_files_than_the_cache_keeps_are_learned(bench: Bench, tmp_path: Path) -> None:
    stream = bench.stream()
    for first in (0, 60):
        bench.admitted(stream, range(first, first + 60))
    files = Files.of(bench.chunks(stream), [])
    one_file = max(bench.context.local(digest).stat().st_size for digest in files.new)
    little = Cache(tmp_path / "little", one_file, in_hand_s=0)
    bench.context.blobs._place._cache = little  # type: ignore[attr-defined]
    mapped = files.mapped(bench.context, [str(digit) for digit in range(10)])
    assert [len(part) for part in mapped.parts] == [60, 60]
    assert [part.name for part in mapped.parts] == files.new

    with ExitStack() as stack:
        linked = _linked(bench.context, tmp_path, files.new, stack)
        for digest, path in linked.items():
            assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
    assert list(little.incoming()) == []


def test_a_worker_waits_for_a_bucket_that_is_away(bench: Bench, relay: Relay) -> None:
    chunk = bench.upload(bench.stream(), digits_zip(range(20)))
    relay.down()
    with ThreadPoolExecutor(1) as pool:
        admitting = pool.submit(admission.admit, bench.context, chunk.id)
        until(lambda: bench.chunk(chunk).heartbeat_at is not None)
        relay.up()
        assert admitting.result(timeout=60) is not None
    assert bench.chunk(chunk).state is ChunkState.ADMITTED
    assert bench.chunk(chunk).deaths == 0


def test_a_bucket_that_stays_away_is_no_fault_of_the_chunk(bench: Bench, relay: Relay) -> None:
    impatient = replace(
        bench.context, settings=bench.context.settings.model_copy(update={"patience_s": 0})
    )
    chunk = bench.upload(bench.stream(), digits_zip(range(20)))
    relay.down()
    admission.admit(impatient, chunk.id)
    found = bench.chunk(chunk)
    assert (found.state, found.deaths, found.error) == (ChunkState.RECEIVED, 0, None)
    relay.up()
    until(lambda: admission.admit(bench.context, chunk.id) is not None)
    assert bench.chunk(chunk).state is ChunkState.ADMITTED
