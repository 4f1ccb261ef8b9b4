"""The gate's rules but for those of single classes and chunks (`worker.gate.slices`)."""

from __future__ import annotations

from lure_core.answers import Answers
from lure_core.policies import Gate
from worker.gate import calibration as calibrations
from worker.gate.finding import Finding, Outcome, percent
from worker.gate.pairs import Pairs


def diverged(is_diverged: bool) -> Finding:
    """A model that computes with what is no number can answer nothing."""
    if is_diverged:
        words = "the training diverged: there are weights or outputs that are not numbers"
        return Finding("diverged", "failed", words, {})
    return Finding("diverged", "passed", "all weights and outputs are numbers", {})


def minimum(images: int, policy: Gate) -> Finding:
    """Fewer than `min_judge` images tell nothing, and none at all never do."""
    needed = max(1, policy.min_judge)
    numbers = {"images": images, "min_judge": policy.min_judge}
    if images < needed:
        words = f"{images} judge images are too few to judge by; {needed} are needed"
        return Finding("minimum", "unjudged", words, numbers)
    return Finding("minimum", "passed", f"{images} judge images are enough", numbers)


def overall(pairs: Pairs, policy: Gate) -> Finding:
    """Non-inferiority: is it proven that no more than the tolerance is lost?

    It passes when the upper bound of the loss lies within the tolerance, and fails when the loss
    that was seen lies beyond it and the lower bound is above nothing.
    """
    greatest = pairs.greatest_loss(policy.confidence)
    outcome: Outcome = "unproven"
    words = f"too few images to prove that no more than {percent(policy.tolerance)} is lost"
    if pairs.is_lost(policy.tolerance, policy.confidence):
        outcome, words = "failed", f"{percent(policy.tolerance)} fewer are tolerated"
    elif greatest <= policy.tolerance:
        outcome, words = "passed", f"proven to lose no more than {percent(policy.tolerance)}"
    numbers = {
        **pairs.to_dict(),
        "least_loss": pairs.least_loss(policy.confidence),
        "greatest_loss": greatest,
        "confidence": policy.confidence,
        "tolerance": policy.tolerance,
    }
    return Finding("overall", outcome, f"{pairs}; {words}", numbers)


def calibration(candidate: Answers, champion: Answers, tolerance: float, policy: Gate) -> Finding:
    """It may not become surer of itself, or less sure, than it is right."""
    ours, theirs = calibrations.error(candidate), calibrations.error(champion)
    words = f"calibration error {ours:.3f}, the champion's {theirs:.3f}; {tolerance:g} more is"
    numbers = {"candidate": ours, "champion": theirs, "tolerance": tolerance}
    if not ours - theirs > tolerance:
        return Finding("calibration", "passed", f"{words} tolerated", numbers)
    least = calibrations.least_growth(candidate, champion, confidence=policy.confidence)
    numbers |= {"least_growth": least, "confidence": policy.confidence}
    if least > 0:
        return Finding("calibration", "failed", f"{words} tolerated", numbers)
    return Finding("calibration", "passed", f"{words} tolerated, but it may be chance", numbers)
