"""Every rule of the gate with what it is there for planted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lure_core.policies import Gate
from tests.worker.gate.cases import Trial, flat, numbers_of, outcomes, words_of
from worker.gate.pairs import Pairs
from worker.gate.slices import Slice, each

ALL = ["diverged", "minimum", "overall", "per_class", "per_chunk", "calibration"]


@pytest.mark.parametrize(
    ("candidate", "champion", "images", "tolerance", "outcome"),
    [
        (950, 900, 1000, 0.02, "passed"),
        (900, 900, 1000, 0.02, "passed"),  # the same answers: proven, with that many images
        (895, 900, 1000, 0.02, "passed"),
        (885, 900, 1000, 0.02, "unproven"),
        (880, 900, 1000, 0.02, "unproven"),  # 20 of 1000: exactly the tolerance
        (879, 900, 1000, 0.02, "failed"),
        (90, 90, 100, 0.02, "unproven"),
        (88, 90, 100, 0.02, "unproven"),
        (87, 90, 100, 0.02, "unproven"),  # 3 of 100 are more than the tolerance, but may be chance
        (86, 90, 100, 0.02, "failed"),
        (47, 50, 50, 0.0, "unproven"),
        (46, 50, 50, 0.0, "failed"),
        (43, 50, 50, 0.14, "unproven"),  # 0.14 * 50 is a little less than 7 in floats
        (10, 40, 49, 0.02, "unjudged"),
        (0, 0, 0, 0.02, "unjudged"),
    ],
)
def test_the_table_of_the_whole(
    candidate: int, champion: int, images: int, tolerance: float, outcome: str
) -> None:
    trial = flat(candidate, champion, images)
    verdict = trial.verdict(tolerance=tolerance, per_class=None, per_chunk=None, ece=None)
    assert verdict.outcome == outcome
    assert verdict.record(held=False)["promoted"] is (outcome != "failed")


def test_nothing_lost_passes_every_rule() -> None:
    verdict = Trial.of().verdict()
    assert outcomes(verdict) == dict.fromkeys(ALL, "passed")
    assert verdict.reason == "216 of 240 right, the champion 216; proven to lose no more than 2%"
    assert verdict.record(held=False)["promoted"]


def test_a_loss_everywhere_is_refused_with_its_numbers() -> None:
    trial = Trial.of()
    spread = np.arange(240) % 12 == 0  # no class and no chunk stands out
    verdict = trial.lose(spread, 24).verdict()
    assert (verdict.outcome, outcomes(verdict)["per_class"]) == ("failed", "passed")
    assert verdict.reason == "196 of 240 right, the champion 216; 2% fewer are tolerated"
    assert not verdict.record(held=False)["promoted"]


def test_one_class_ruined_is_refused_though_the_whole_holds() -> None:
    trial = Trial.of(100)
    trial.lose(trial.in_class("cat"), 200)
    verdict = trial.verdict(tolerance=0.2, per_chunk=0.3, ece=None)
    assert outcomes(verdict) == dict.fromkeys(ALL[:-1], "passed") | {"per_class": "failed"}
    assert verdict.reason == (
        "class 'cat': 70 of 300 right, the champion 270; 10% fewer are tolerated"
    )
    assert numbers_of(verdict, "per_class")["failed"] == ["cat"]


def test_the_reason_names_the_worst_class_and_counts_the_others() -> None:
    trial = Trial.of(100)
    trial.lose(trial.in_class("cat"), 60).lose(trial.in_class("dog"), 100)
    assert words_of(trial.verdict(), "per_class") == (
        "class 'dog': 170 of 300 right, the champion 270; 10% fewer are tolerated,"
        " and 1 more like it"
    )


def test_one_old_chunk_forgotten_is_refused() -> None:
    trial = Trial.of()
    verdict = trial.lose(trial.in_chunk("chk_1"), 30).verdict(
        tolerance=0.3, per_class=None, ece=None
    )
    assert verdict.reason == (
        "chunk 'chk_1': 42 of 80 right, the champion 72; 10% fewer are tolerated"
    )
    assert outcomes(verdict)["per_chunk"] == "failed"


def test_the_new_chunk_is_nothing_that_could_be_forgotten() -> None:
    trial = Trial.of()
    verdict = trial.lose(trial.in_chunk("chk_3"), 30).verdict(
        tolerance=0.3, per_class=None, ece=None
    )
    assert (verdict.outcome, outcomes(verdict)["per_chunk"]) == ("passed", "passed")
    worst = numbers_of(verdict, "per_chunk")["worst"]
    assert [one["name"] for one in worst] == ["chk_1", "chk_2"]


def test_a_broken_calibration_is_refused() -> None:
    verdict = Trial.of().verdict(sure=0.6)  # as often right as before
    assert verdict.outcome == "failed"
    assert verdict.reason == "calibration error 0.300, the champion's 0.000; 0.1 more is tolerated"
    assert numbers_of(verdict, "calibration")["least_growth"] == pytest.approx(0.25, abs=0.05)


def test_a_worse_calibration_within_its_tolerance_passes() -> None:
    assert outcomes(Trial.of().verdict(sure=0.82))["calibration"] == "passed"


def test_a_worse_calibration_that_may_be_chance_passes() -> None:
    few = Trial.of(2, wrong_every=30)  # 24 images, all right: the error is all the confidence lacks
    verdict = few.lose(few.everywhere(), 4).verdict(sure=0.9, ece=0.05, min_judge=5)
    assert outcomes(verdict)["calibration"] == "passed"


def test_chance_on_small_slices_does_not_block() -> None:
    """Three of 20 lost is beyond 10%, but a class of four loses that much by chance."""
    trial = Trial.of()
    first = trial.in_chunk("chk_1")
    verdict = trial.lose(trial.in_class("cat") & first, 3).verdict(tolerance=0.1, min_slice=20)
    assert outcomes(verdict)["per_class"] == "passed"


def test_slices_of_few_images_are_not_judged() -> None:
    trial = Trial.of(6)
    ruined = trial.lose(trial.in_class("cat"), 18)
    verdict = ruined.verdict(tolerance=0.5)
    assert outcomes(verdict)["per_class"] == "unjudged"
    assert words_of(verdict, "per_class") == "no class has the 20 judge images that it takes"
    assert ruined.verdict(tolerance=0.5, min_slice=18).outcome == "failed"


def test_rules_that_are_switched_off_are_not_asked() -> None:
    verdict = Trial.of().verdict(per_class=None, per_chunk=None, ece=None)
    assert list(outcomes(verdict)) == ALL[:3]


def test_several_rules_that_refuse_are_all_told() -> None:
    trial = Trial.of()
    verdict = trial.lose(trial.in_class("cat"), 40).verdict()
    assert verdict.reason.startswith("176 of 240 right, the champion 216; 2% fewer are tolerated;")
    assert "; also class 'cat': 14 of 60 right, the champion 54; 10% fewer" in verdict.reason


@pytest.mark.parametrize(
    ("unproven", "outcome", "promoted"),
    [("promote", "unproven", True), ("refuse", "failed", False)],
)
def test_what_cannot_be_proven_goes_by_the_policy(
    unproven: str, outcome: str, promoted: bool
) -> None:
    verdict = flat(88, 90, 100).verdict(unproven=unproven)
    assert (verdict.outcome, verdict.record(held=False)["promoted"]) == (outcome, promoted)
    assert verdict.reason == (
        "88 of 100 right, the champion 90; too few images to prove that no more than 2% is lost"
    )
    assert outcomes(verdict)["overall"] == "unproven"


def test_too_few_images_promote_unjudged_and_say_so() -> None:
    verdict = flat(10, 40, 49).verdict(unproven="refuse")
    assert verdict.outcome == "unjudged"
    assert verdict.reason == "49 judge images are too few to judge by; 50 are needed"
    assert verdict.record(held=False)["promoted"]


def test_no_image_at_all_is_too_few_whatever_the_policy_asks() -> None:
    verdict = flat(0, 0, 0).verdict(min_judge=0)
    assert (verdict.outcome, verdict.tolerance) == ("unjudged", 0.02)
    assert flat(1, 1, 1).verdict(min_judge=0).outcome == "unproven"


@pytest.mark.parametrize("images", [0, 100])
@pytest.mark.parametrize("champion", [True, False])
def test_diverged_weights_never_pass(images: int, champion: bool) -> None:
    verdict = flat(images, images, images).verdict(diverged=True, champion=champion, tolerance=1.0)
    assert (verdict.outcome, verdict.record(held=False)["promoted"]) == ("failed", False)
    assert "not numbers" in verdict.reason


def test_a_first_version_has_nothing_to_be_compared_with() -> None:
    record = Trial.of().verdict(champion=False).record(held=True)
    assert (record["outcome"], record["promoted"], record["held"]) == ("passed", True, False)
    assert record["champion"] is record["champion_version"] is None
    assert "the first version" in record["reason"]


@pytest.mark.parametrize(("candidate", "outcome"), [(95, "unproven"), (10, "failed")])
def test_a_hold_bars_promotion_and_is_told(candidate: int, outcome: str) -> None:
    record = flat(candidate, 95, 100).verdict().record(held=True)
    assert (record["outcome"], record["promoted"], record["held"]) == (outcome, False, True)
    assert ("a person holds" in record["reason"]) is (outcome != "failed")


@pytest.mark.parametrize("champion", [True, False])
def test_in_manual_mode_an_accepted_candidate_awaits_a_person(champion: bool) -> None:
    record = Trial.of().verdict(mode="manual", champion=champion).record(held=False)
    assert (record["outcome"], record["promoted"]) == ("passed", False)
    assert (record["mode"], record["awaits"]) == ("manual", "person")
    assert record["reason"].endswith("; not promoted yet: that is up to a person")


def test_in_manual_mode_a_refused_candidate_awaits_nobody() -> None:
    record = flat(10, 95, 100).verdict(mode="manual").record(held=False)
    assert (record["outcome"], record["promoted"], record["awaits"]) == ("failed", False, None)


def test_the_record_holds_the_numbers_as_plain_json() -> None:
    record = Trial.of().verdict().record(held=False)
    assert json.loads(json.dumps(record)) == json.loads(json.dumps(record, allow_nan=False))
    assert record["candidate"] == {"accuracy": 0.9, "correct": 216, "images": 240}
    assert record["champion_version"] == 7
    assert [finding["rule"] for finding in record["rules"]] == ALL
    assert set(record["rules"][0]) == {"rule", "outcome", "words", "numbers"}


def test_of_thousands_of_chunks_the_ten_worst_are_written_down() -> None:
    same = [Slice(f"chk_{number}", Pairs(20, both=18, gained=0, lost=0)) for number in range(3000)]
    worse = [Slice(f"lost_{lost}", Pairs(20, 20 - lost, gained=0, lost=lost)) for lost in (8, 16)]
    numbers = each("chunk", [*same, *worse], 0.1, Gate()).numbers
    assert (numbers["judged"], len(numbers["worst"])) == (3002, 10)
    assert [one["name"] for one in numbers["worst"][:2]] == ["lost_16", "lost_8"]
    assert numbers["failed"] == ["lost_16"]  # among so many, 8 of 20 may be chance
