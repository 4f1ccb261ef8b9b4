"""Replay: what every policy promises, whatever the chunks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lure_core.config import Replay
from lure_core.data import Samples
from lure_core.replay import CycleData, Replayed, choose
from lure_core.rng import generator
from lure_core.types import Split

CLASSES = 4


def create_chunk(number: int, images: int) -> Samples:
    draws = generator(number)
    return Samples(
        torch.zeros(images, 1, 1, 1, dtype=torch.uint8),
        torch.randint(0, CLASSES, (images,), generator=draws),
        torch.randint(0, 3, (images,), generator=draws).to(torch.uint8),
        name=f"chunk-{number}",
    )


def choose_from(past: list[Samples], seed: int = 0, **policy: object) -> Replayed:
    return choose(CycleData([create_chunk(99, 5)], past), Replay.from_dict(policy), seed=seed)


def kept(replayed: Replayed) -> set[tuple[str, int]]:
    chunks = zip(replayed.data.past, replayed.past_rows, strict=True)
    return {(samples.name, row) for samples, rows in chunks for row in rows.tolist()}


def able(past: list[Samples]) -> set[tuple[str, int]]:
    """Everything that may be replayed."""
    return kept(choose_from(past, kind="full"))


pasts = st.lists(st.integers(1, 30), min_size=1, max_size=6).map(
    lambda sizes: [create_chunk(number, images) for number, images in enumerate(sizes)]
)
buffers = st.builds(
    lambda capacity, keep: {"kind": "buffer", "capacity": capacity, "keep": keep},
    st.integers(1, 60),
    st.sampled_from(["reservoir", "class-balanced"]),
)
policies = st.one_of(st.sampled_from([{"kind": k} for k in ("full", "one", "none")]), buffers)


@given(pasts, policies)
def test_only_rows_of_training_and_select_images_each_once_in_order(past, policy) -> None:
    for samples, rows in zip(past, choose_from(past, **policy).past_rows, strict=True):
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert not (samples.splits[rows] == int(Split.JUDGE)).any()


def test_full_is_everything_but_the_judges() -> None:
    past = [create_chunk(0, 20), create_chunk(1, 10)]
    judges = sum(int((samples.splits == int(Split.JUDGE)).sum()) for samples in past)
    assert judges
    assert len(able(past)) == 30 - judges


def test_none_is_nothing_and_one_the_chunk_before() -> None:
    past = [create_chunk(0, 20), create_chunk(1, 10)]
    assert kept(choose_from(past, kind="none")) == set()
    assert kept(choose_from(past, kind="one")) == {k for k in able(past) if k[0] == "chunk-1"}
    assert kept(choose_from([], kind="one")) == set()


@given(pasts, buffers)
def test_a_buffer_holds_its_capacity_or_all_there_is(past, policy) -> None:
    assert len(kept(choose_from(past, **policy))) == min(policy["capacity"], len(able(past)))


@given(pasts, buffers)
def test_a_buffer_is_the_same_after_a_restart(past, policy) -> None:
    again = [create_chunk(number, len(samples)) for number, samples in enumerate(past)]
    assert kept(choose_from(past, **policy)) == kept(choose_from(again, **policy))
    one, other = (choose_from(p, **policy).to_dict() for p in (past, again))
    assert one == other


@given(pasts, buffers)
def test_what_a_later_chunk_drove_out_does_not_come_back(past, policy) -> None:
    before, after = (kept(choose_from(p, **policy)) for p in (past[:-1], past))
    assert {image for image in after if image[0] != past[-1].name} <= before


@given(pasts, buffers, st.data())
def test_a_chunk_taken_out_is_gone_and_nothing_else_is(past, policy, data) -> None:
    out = data.draw(st.sampled_from(past))
    rest = [samples for samples in past if samples is not out]
    before, after = kept(choose_from(past, **policy)), kept(choose_from(rest, **policy))
    assert not any(name == out.name for name, _ in after)
    assert {image for image in before if image[0] != out.name} <= after


@given(pasts, st.integers(1, 60))
def test_a_balanced_buffer_takes_no_class_beyond_another_that_has_more(past, capacity) -> None:
    replayed = choose_from(past, kind="buffer", capacity=capacity, keep="class-balanced")
    label_of = {(s.name, row): int(s.labels[row]) for s in past for row in range(len(s))}
    there = Counter(label_of[image] for image in able(past))
    held = Counter(label_of[image] for image in kept(replayed))
    for label, other in ((a, b) for a in there for b in there):
        assert held[label] <= held[other] + 1 or held[other] == there[other]


def test_a_reservoir_is_even_over_everything_seen() -> None:
    past = [create_chunk(number, 300) for number in range(4)]
    total: Counter[str] = Counter()
    for seed in range(30):
        policy = {"kind": "buffer", "capacity": 100}
        total.update(name for name, _ in kept(choose_from(past, seed=seed, **policy)))
    shares = [count / sum(total.values()) for count in total.values()]
    assert len(shares) == 4
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_another_seed_is_another_buffer() -> None:
    past = [create_chunk(0, 100)]
    one, other = (kept(choose_from(past, s, kind="buffer", capacity=20)) for s in (1, 2))
    assert one != other


def test_rows_are_indices_into_the_chunks_themselves() -> None:
    past = [create_chunk(0, 20), create_chunk(1, 10)]
    replayed = choose_from(past, kind="buffer", capacity=8)
    assert replayed.parts[:2] == past
    by_split = [sum(map(len, replayed.rows(split)[:2])) for split in (Split.TRAIN, Split.SELECT)]
    assert sum(by_split) == 8
    assert len(replayed.rows(Split.TRAIN)[2]) == int((replayed.parts[2].splits == 0).sum())


def test_the_digest_names_rows_and_chunks() -> None:
    chunks = [create_chunk(0, 20), create_chunk(1, 20)]
    digests = {choose_from(p, kind="full").to_dict()["sha256"] for p in (chunks, chunks[::-1])}
    assert len(digests) == 2
    assert choose_from(chunks, kind="full").to_dict()["images"] == len(able(chunks))
