"""The gate's rule, as a table."""

from __future__ import annotations

import pytest

from worker.gate import Policy, Score, Verdict, decide


def score(correct: int, images: int) -> Score:
    return Score(correct / images if images else 0.0, correct, images)


def judged(candidate: int, champion: int | None, images: int, policy: Policy) -> Verdict:
    other = None if champion is None else score(champion, images)
    version = None if champion is None else 1
    return decide(score(candidate, images), other, policy, champion_version=version)


@pytest.mark.parametrize(
    ("candidate", "champion", "images", "tolerance", "outcome"),
    [
        (95, 90, 100, 0.02, "passed"),
        (90, 90, 100, 0.02, "passed"),
        (88, 90, 100, 0.02, "passed"),  # exactly the tolerance
        (87, 90, 100, 0.02, "failed"),
        (880, 900, 1000, 0.02, "passed"),  # 20 of 1000: 2 pp
        (879, 900, 1000, 0.02, "failed"),
        (48, 50, 50, 0.0, "passed"),  # two images weigh more than no tolerance
        (47, 50, 50, 0.0, "failed"),
        (43, 50, 50, 0.14, "passed"),  # 0.14 * 50 is a little less than 7 in floats
        (10, 40, 49, 0.02, "unjudged"),
        (0, 0, 0, 0.02, "unjudged"),
        (10, None, 50, 0.02, "passed"),
        (10, None, 49, 0.02, "unjudged"),
    ],
)
def test_the_table(
    candidate: int, champion: int | None, images: int, tolerance: float, outcome: str
) -> None:
    verdict = judged(candidate, champion, images, Policy(tolerance, min_judge=50))
    assert verdict.outcome == outcome
    assert verdict.record(held=False)["promoted"] is (outcome != "failed")


def test_the_tolerance_used_is_told() -> None:
    assert judged(95, 95, 100, Policy(0.05, 50)).tolerance == 0.05
    assert judged(50, 50, 50, Policy(0.02, 50)).tolerance == pytest.approx(0.04)


@pytest.mark.parametrize(("candidate", "outcome"), [(95, "passed"), (10, "failed")])
def test_a_hold_bars_promotion_and_is_told(candidate: int, outcome: str) -> None:
    record = judged(candidate, 90, 100, Policy(0.02, 50)).record(held=True)
    assert (record["outcome"], record["promoted"], record["held"]) == (outcome, False, True)


def test_the_record_holds_the_numbers() -> None:
    record = judged(95, 90, 100, Policy(0.02, 50)).record(held=False)
    assert record["candidate"] == {"accuracy": 0.95, "correct": 95, "images": 100}
    assert record["champion"] == {"accuracy": 0.90, "correct": 90, "images": 100}
    assert record["champion_version"] == 1
    assert record["reason"] == "95 of 100 right, the champion 90; 2.00% fewer are tolerated"


@pytest.mark.parametrize("images", [0, 100])
def test_diverged_weights_never_pass(images: int) -> None:
    same = score(0, images)
    verdict = decide(same, same, Policy(1.0, 50), champion_version=1, diverged=True)
    assert (verdict.outcome, verdict.record(held=False)["promoted"]) == ("failed", False)
