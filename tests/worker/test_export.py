"""Exports: one real one; the others with a process that does what the test wants."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from lure_core import models
from lure_core.checkpoint import load_classifier, pack
from lure_core.config import CycleConfig, InputSpec, Normalisation, Recipe, Unlearn
from store import artifacts, cycles, jobs, streams, versions
from store.models import Artifact, Stream, Version
from store.states import ArtifactState, VersionState
from tests.digits import images
from tests.worker.conftest import Bench
from worker import artifacts as exports
from worker.export import agreement
from worker.export.job import Answer
from worker.sweep import sweep

SPEC = InputSpec(channels=1, height=8, width=8)
PYTHON = sys.executable
REPORT = {"agreement": 1.0, "images": 100}


def grown_version(bench: Bench, stream: Stream) -> Version:
    """A version of a model whose head has grown from 4 to 10 outputs."""
    bench.admitted(stream, range(40))
    config = CycleConfig(
        architecture="mlp",
        classes=tuple("0123456789"),
        input=SPEC,
        normalisation=Normalisation(mean=(0.3,), std=(0.4,)),
        recipe=Recipe(),
        unlearn=Unlearn(),
        seed=0,
        device="cpu",
    )
    model = models.build("mlp", classes=4, input=SPEC, seed=0)
    models.grow_head(model, models.build("mlp", classes=10, input=SPEC, seed=1))
    checkpoint = pack(model, config)
    sidecar = json.dumps(checkpoint.sidecar).encode()
    put = bench.context.blobs.put_bytes
    digest, sidecar_digest = put(checkpoint.weights), put(sidecar)
    with bench.database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="test", stale_s=10)
        assert claim is not None
        locked = streams.lock(session, stream.id)
        cycle = cycles.fenced(session, claim)
        version = versions.add(
            session,
            locked,
            Version(
                cycle_id=cycle.id,
                ordinal=1,
                chunks=[chunk.id for chunk in cycles.of_cycle(session, cycle.id)],
                strategy="learn",
                state=VersionState.READY,
                metrics={},
                verdict={},
                environment={},
                digest=digest,
                sidecar_digest=sidecar_digest,
                size_bytes=len(checkpoint.weights),
            ),
        )
        cycles.succeed(session, locked, cycle, version=version.version, prequential=None)
    return version


@pytest.fixture
def stream(bench: Bench) -> Stream:
    return bench.stream()


@pytest.fixture
def asked(bench: Bench, stream: Stream) -> tuple[int, int, str]:
    """Version 1, whose export is asked for."""
    grown_version(bench, stream)
    with bench.database.begin() as session:
        artifacts.ask(session, stream, 1, artifacts.ONNX)
    return stream.id, 1, artifacts.ONNX


def artifact(bench: Bench, stream: Stream) -> Artifact:
    found = bench.read(artifacts.get, stream, 1, artifacts.ONNX)
    assert found is not None
    return found


def instead(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let the exporting process run `code`, with the job as `job`."""
    program = folder / "python"
    script = f"import json, sys, time; job = json.load(open(sys.argv[1]))\n{code}"
    program.write_text(f"#!{PYTHON}\nimport sys\ndel sys.argv[1:3]\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def answering(**answer: Any) -> str:
    return f"open(job['file'], 'w').write('x'); json.dump({answer!r}, open(job['answer'], 'w'))"


def test_the_file_answers_to_raw_pixels_as_the_version_does(
    bench: Bench, stream: Stream, asked: tuple[int, int, str]
) -> None:
    assert exports.make(bench.context, *asked) is not None
    made = artifact(bench, stream)
    assert (made.state, made.error) == (ArtifactState.READY, None)
    assert made.report is not None
    assert (made.report["agreement"], made.report["images"]) == (1.0, 40)
    assert 0 < made.report["judge"] < 40
    assert made.report["max_abs_difference"] < 1e-5

    assert made.digest is not None
    path = bench.context.blobs.local(made.digest)
    version = bench.version(stream, 1)
    sidecar = json.loads(bench.context.blobs.read(version.sidecar_digest))
    classifier = load_classifier(bench.context.blobs.local(version.digest), sidecar)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 7):
        batch = images[100 : 100 + count, None]
        [answer] = session.run(["probabilities"], {"images": batch})
        np.testing.assert_allclose(answer, classifier.predict(batch), atol=1e-5)
    told = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert json.loads(told["classes"]) == list("0123456789")
    assert (told["stream"], told["version"]) == ("digits", "1")
    assert told["weights_sha256"] == version.digest

    assert exports.make(bench.context, *asked) is None, "it is made once"


def test_the_sweeper_wakes_what_was_asked_for_and_nobody_makes(
    bench: Bench, asked: tuple[int, int, str]
) -> None:
    sweep(bench.context, jobs.ADMIT_QUEUE)
    assert (jobs.EXPORT, *asked) in bench.wakes.sent
    bench.wakes.sent.clear()
    with bench.database.begin() as session:
        assert artifacts.claim(session, *asked, stale_s=10) is not None
    sweep(bench.context, jobs.ADMIT_QUEUE)
    assert (jobs.EXPORT, *asked) not in bench.wakes.sent


def test_a_refused_export_fails_with_its_report_and_may_be_tried_again_by_hand(
    bench: Bench,
    stream: Stream,
    asked: tuple[int, int, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    instead(monkeypatch, tmp_path, answering(report=REPORT, error="it agrees on 3 %"))
    exports.make(bench.context, *asked)
    failed = artifact(bench, stream)
    assert (failed.state, failed.error) == (ArtifactState.FAILED, "it agrees on 3 %")
    assert (failed.report, failed.digest) == (REPORT, None)
    assert exports.make(bench.context, *asked) is None

    with bench.database.begin() as session:
        artifacts.retry(session, stream, 1, artifacts.ONNX)
    instead(monkeypatch, tmp_path, answering(report=REPORT, error=None))
    exports.make(bench.context, *asked)
    made = artifact(bench, stream)
    assert (made.state, made.error, made.size_bytes) == (ArtifactState.READY, None, 1)


def test_a_process_that_dies_is_tried_three_times_and_its_last_words_are_kept(
    bench: Bench,
    stream: Stream,
    asked: tuple[int, int, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    instead(monkeypatch, tmp_path, "sys.exit('out of memory')")
    for _ in range(artifacts.MAX_DEATHS):
        assert artifact(bench, stream).state is ArtifactState.QUEUED
        assert exports.make(bench.context, *asked) is not None
    assert exports.make(bench.context, *asked) is None
    failed = artifact(bench, stream)
    assert failed.state is ArtifactState.FAILED
    assert failed.error is not None
    assert "3 times" in failed.error
    assert "out of memory" in failed.error


def test_a_process_that_takes_too_long_is_ended(
    bench: Bench,
    stream: Stream,
    asked: tuple[int, int, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    instead(monkeypatch, tmp_path, "time.sleep(60)")
    settings = bench.context.settings.model_copy(update={"export_limit_s": 0.5})
    exports.make(replace(bench.context, settings=settings), *asked)
    found = artifact(bench, stream)
    assert (found.state, found.deaths) == (ArtifactState.QUEUED, 1)
    assert found.error == "it took longer than 0.5 s"


def test_a_worker_that_is_told_to_stop_hands_it_back(
    bench: Bench,
    stream: Stream,
    asked: tuple[int, int, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    instead(monkeypatch, tmp_path, "time.sleep(60)")
    bench.context.stop.tell()
    exports.make(bench.context, *asked)
    found = artifact(bench, stream)
    assert (found.state, found.deaths, found.heartbeat_at) == (ArtifactState.QUEUED, 0, None)


def test_an_export_that_was_handed_to_another_writes_nothing(
    bench: Bench, stream: Stream, asked: tuple[int, int, str]
) -> None:
    with bench.database.begin() as session:
        first = artifacts.claim(session, *asked, stale_s=10)
    with bench.database.begin() as session:
        second = artifacts.claim(session, *asked, stale_s=0)
    assert first is not None
    assert second is not None
    assert artifact(bench, stream).deaths == 1
    with bench.database.begin() as session:
        assert not artifacts.beat(session, first)
        with pytest.raises(artifacts.FenceLost):
            artifacts.fail(session, first, "late")
        assert artifacts.beat(session, second)


def test_agreement_counts_the_images_whose_best_class_is_the_same(
    bench: Bench, stream: Stream
) -> None:
    chunk = bench.admitted(stream, range(40))
    assert chunk.file_digest is not None
    path = bench.context.blobs.local(chunk.file_digest)

    def even(batch: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([0.6, 0.4]), (len(batch), 1))

    def odd(batch: np.ndarray) -> np.ndarray:
        answers = even(batch)
        answers[::4] = [0.1, 0.9]
        return answers

    report = agreement.compare(odd, even, [path])
    assert report["agreement"] == 0.75
    assert report["max_abs_difference"] == pytest.approx(0.5)
    assert agreement.compare(odd, even, [])["images"] == 0


def test_answers_survive_their_file(tmp_path: Path) -> None:
    answer = Answer({"agreement": 0.5}, "too low")
    answer.write(tmp_path / "answer.json")
    assert Answer.read(tmp_path / "answer.json") == answer
