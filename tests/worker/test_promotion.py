"""From a cycle's result to the champion, or not: real cycles, the real store, what was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from store import aliases, events, lineage, scores, streams
from store.models import Chunk, Stream, Version
from tests.digits import digits_zip, images, labels, png
from tests.worker.conftest import Bench
from worker import admission, pipeline, promotion
from worker.pipeline import process_next

CAREFUL = {
    "epochs": 20,
    "learn_epochs": 30,
    "batch_size": 16,
    "learning_rate": 0.05,
    "schedule": "linear",
    "precision": "fp32",
}
FEW = {"kind": "buffer", "capacity": 150}
THIRD = {"select": 0.05, "judge": 0.3}
LENIENT = {"tolerance": 1.0, "min_judge": 5, "per_class": None, "per_chunk": None, "ece": None}


def poisoned(bench: Bench, stream: Stream) -> Chunk:
    """Every further 3 is said to be a 5, among a few honest images of all classes."""
    threes = np.flatnonzero(labels == 3)
    wrong = {f"5/{row:04d}.png": png(images[row]) for row in threes[threes >= 450]}
    chunk = bench.upload(stream, digits_zip([*range(450, 500)], wrong))
    assert admission.admit(bench.context, chunk.id) is not None
    return chunk


def served(bench: Bench, stream: Stream) -> dict[str, int]:
    return {alias.name: alias.version for alias in bench.read(aliases.of_stream, stream)}


def test_a_poisoned_chunk_is_learned_and_never_served(bench: Bench) -> None:
    policies = {"gate": {"min_slice": 10}, "holdout": THIRD, "replay": FEW}
    stream = bench.stream(architecture="mlp", recipe=CAREFUL, policies=policies)
    bench.admitted(stream, range(450))
    process_next(bench.context, stream.id)
    poisoned(bench, stream)
    process_next(bench.context, stream.id)

    first, second = bench.version(stream, 1), bench.version(stream, 2)
    assert first.metrics["per_class"]["3"] > 0.8
    assert second.verdict["candidate"]["correct"] > second.verdict["champion"]["correct"]
    assert (second.verdict["outcome"], second.verdict["promoted"]) == ("failed", False)
    assert second.verdict["reason"].startswith("class '3': ")
    found = {finding["rule"]: finding for finding in second.verdict["rules"]}
    assert found["overall"]["outcome"] != "failed"  # an average alone would have served it
    assert found["per_class"]["numbers"]["failed"][0] == "3"
    assert served(bench, stream) == {"champion": 1, "candidate": 2, "latest": 2}
    (told,) = [e for e in bench.read(events.after, 0) if e.name == "gate.failed"]
    assert told.data["verdict"]["reason"] == second.verdict["reason"]


def test_in_manual_mode_a_person_promotes_and_nothing_else_does(bench: Bench) -> None:
    stream = bench.stream(architecture="mlp", policies={"gate": LENIENT | {"mode": "manual"}})
    for start in (0, 60, 120):
        bench.admitted(stream, range(start, start + 60))
    process_next(bench.context, stream.id)
    process_next(bench.context, stream.id)
    assert served(bench, stream) == {"candidate": 2, "latest": 2}
    assert bench.version(stream, 1).verdict["awaits"] == "person"
    assert bench.version(stream, 2).parent is None  # it learned all, from the beginning

    with bench.database.begin() as session:
        row = streams.lock(session, stream.id)
        by_hand = aliases.Move(2, "a person", "it looks good")
        aliases.move_if(session, row, aliases.CHAMPION, by_hand, revision=None)
    process_next(bench.context, stream.id)
    assert served(bench, stream) == {"champion": 2, "candidate": 3, "latest": 3}
    third = bench.version(stream, 3)
    assert (third.parent, third.verdict["champion_version"]) == (2, 2)
    assert (third.verdict["promoted"], third.verdict["awaits"]) == (False, "person")


def test_a_promotion_by_hand_meanwhile_is_seen_and_judged_against(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bench.stream(architecture="mlp", policies={"gate": LENIENT})
    for start in (0, 60, 120):
        bench.admitted(stream, range(start, start + 60))
    process_next(bench.context, stream.id)
    process_next(bench.context, stream.id)
    judged: list[int | None] = []

    def judge_then_roll_back(*args: Any) -> Any:
        verdict = judge(*args)
        judged.append(verdict.champion_version)
        if len(judged) == 1:  # between the verdict and the transaction that acts on it
            with bench.database.begin() as session:
                row = streams.get(session, stream.name)
                aliases.rollback(session, row, who="a person", reason="it was better")
        return verdict

    judge = promotion.judge
    monkeypatch.setattr(pipeline.promotion, "judge", judge_then_roll_back)
    process_next(bench.context, stream.id)
    assert judged == [2, 1]
    assert served(bench, stream)["champion"] == 1
    third = bench.version(stream, 3)
    assert (third.verdict["champion_version"], third.verdict["held"]) == (1, True)
    moves = bench.read(aliases.history, stream, aliases.CHAMPION, size=10).items
    assert [(move.to_version, move.who) for move in moves] == [
        (1, "a person"),
        (2, promotion.WHO),
        (1, promotion.WHO),
    ]


def test_a_version_tells_what_it_was_made_from_and_what_became_of_it_all(bench: Bench) -> None:
    stream = bench.stream(architecture="mlp", policies={"gate": LENIENT})
    made = [bench.admitted(stream, range(start, start + 60)) for start in (0, 60, 120)]
    for _ in made:
        process_next(bench.context, stream.id)
    one, two, three = (bench.version(stream, number) for number in (1, 2, 3))
    assert_made_from(bench, stream, two, three, made)
    assert_old_chunks_are_remembered(bench, (one, two, three), made)
    assert_unlearning_is_told(bench, two, three)
    assert three.metrics["temperature"] > 0
    assert three.metrics["agreement"] is None  # bf16 gains nothing for so small a model


def assert_made_from(
    bench: Bench, stream: Stream, two: Version, three: Version, made: list[Chunk]
) -> None:
    origin = bench.read(lineage.origin, stream, three)
    assert [chunk.file_digest for chunk in origin.past] == [c.file_digest for c in made[:2]]
    assert [chunk.id for chunk in origin.new] == [made[2].id]
    assert (origin.parent.version, origin.parent.digest) == (2, two.digest)
    assert three.config is not None
    assert three.config["seed"] == three.environment["seed"]


def assert_old_chunks_are_remembered(
    bench: Bench, line: tuple[Version, Version, Version], made: list[Chunk]
) -> None:
    one, _, three = line
    assert (one.metrics["forgetting"], one.metrics["backward_transfer"]) == (None, None)
    first, second, entries = (scores.read(bench.context.blobs, version) or [] for version in line)
    assert [entry["chunk"] for entry in entries] == [chunk.id for chunk in made]
    assert sum(entry["correct"] for entry in entries) == three.metrics["correct"]
    before = [first[0]["accuracy"], second[0]["accuracy"]]
    assert (entries[0]["first"], entries[0]["best"]) == (before[0], max(before))
    assert entries[0]["forgetting"] == max(before) - entries[0]["accuracy"]
    assert entries[2]["best"] is entries[2]["forgetting"] is None


def assert_unlearning_is_told(bench: Bench, two: Version, three: Version) -> None:
    assert two.unlearning is not None
    assert three.unlearning is not None
    assert two.unlearning["overlap"] is None
    overlap = three.unlearning["overlap"]
    assert (overlap["version"], 0 <= overlap["share"] <= 1) == (2, True)
    assert overlap["by_chance"] == pytest.approx(0.2, abs=1e-4)
    assert three.mask_digest is not None
    mask = np.frombuffer(bench.context.blobs.read(three.mask_digest), dtype=np.uint8)
    assert np.unpackbits(mask).sum() == three.unlearning["reset"]
    assert_the_bits_lie_by_layer(np.unpackbits(mask), three.unlearning)


def assert_the_bits_lie_by_layer(bits: npt.NDArray[np.uint8], unlearning: dict[str, Any]) -> None:
    layers, share = unlearning["layers"], unlearning["layer_share"]
    ends = np.cumsum([layer["weights"] for layer in layers])
    assert ends[-1] == unlearning["counted"]
    for layer, piece in zip(layers, np.split(bits[: ends[-1]], ends[:-1]), strict=True):
        assert piece.mean() == pytest.approx(share[layer["name"]])
