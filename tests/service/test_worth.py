"""Was unlearning worth it? Told only where the figures tell it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.worth import Judgement, judge
from store.counterfactuals import Comparison, Outcome


def outcome(method: str, accuracy: float | None, seconds: float) -> Outcome:
    return Outcome(method, accuracy, images=100, seconds=seconds, flops=1)


def judged(own: Sequence[float | None], other: Sequence[float | None]) -> Judgement:
    pairs = enumerate(zip(own, other, strict=True), start=2)
    (found,) = judge(
        [
            Comparison(n, outcome("lure", a, 3.0), [outcome("scratch", b, 4.0)])
            for n, (a, b) in pairs
        ]
    )
    return found


def test_a_gain_that_the_interval_shows_is_worth_it() -> None:
    found = judged([0.92, 0.93, 0.92, 0.94, 0.93], [0.90, 0.91, 0.91, 0.92, 0.90])
    assert (found.worth, found.versions) == ("yes", 5)
    assert (found.own.accuracy, found.own.seconds) == (pytest.approx(0.928), 15.0)
    assert (found.other.accuracy, found.other.seconds) == (pytest.approx(0.908), 20.0)
    assert found.words == (
        "over 5 versions 2.00 points more accurate than scratch (95 % interval +1.12 to +2.88),"
        " in 0.75 of its seconds"
    )


def test_a_loss_is_told_as_one() -> None:
    found = judged([0.90, 0.91, 0.91, 0.92, 0.90], [0.92, 0.93, 0.92, 0.94, 0.93])
    assert found.worth == "no"
    assert "2.00 points less accurate than scratch" in found.words


def test_what_could_be_chance_is_undecided() -> None:
    found = judged([0.90, 0.94, 0.90, 0.94, 0.91], [0.92, 0.91, 0.92, 0.91, 0.91])
    assert found.worth == "undecided"
    assert found.words.endswith("which is better cannot be told")


@pytest.mark.parametrize("versions", [1, 4])
def test_few_versions_tell_nothing_however_far_apart(versions: int) -> None:
    found = judged([0.99] * versions, [0.1] * versions)
    assert (found.worth, found.gain) == ("too few to tell", None)
    words = f"{versions} compared with scratch, in 0.75 of its seconds; 5 are needed"
    assert found.words == words


def test_versions_without_judge_images_count_for_nothing() -> None:
    assert judged([0.9] * 5, [0.9, None, 0.9, 0.9, 0.9]).worth == "too few to tell"


def test_each_method_is_judged_by_itself() -> None:
    one = Comparison(
        2, outcome("lure", 0.9, 3), [outcome("warm", 0.8, 1), outcome("scratch", 0.7, 0)]
    )
    scratch, warm = judge([one])
    assert (scratch.method, scratch.words) == ("scratch", "1 compared with scratch; 5 are needed")
    assert (warm.method, warm.other.accuracy) == ("warm", 0.8)
    assert judge([]) == []
