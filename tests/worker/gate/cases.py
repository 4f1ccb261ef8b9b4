"""Two models on the same judge images, with what each got right planted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lure_core.answers import Answers
from lure_core.policies import Gate
from worker.gate import Case, Verdict, decide

CLASSES = ("bird", "cat", "dog", "frog")
CHUNKS = ("chk_1", "chk_2", "chk_3")


@dataclass
class Trial:
    """Judge images in three chunks, the last one new; both models begin with the same answers."""

    ours: np.ndarray
    theirs: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    sure: float = 0.9

    @classmethod
    def of(cls, per_class_and_chunk: int = 20, *, wrong_every: int = 10) -> Trial:
        """So many images of each class in each chunk, of which both models miss every tenth."""
        cells = len(CLASSES) * len(CHUNKS)
        cell = np.repeat(np.arange(cells), per_class_and_chunk)
        right = np.arange(len(cell)) % wrong_every != wrong_every - 1
        return cls(right.copy(), right.copy(), cell % len(CLASSES), cell // len(CLASSES))

    def in_class(self, name: str) -> np.ndarray:
        return self.labels == CLASSES.index(name)

    def in_chunk(self, chunk: str) -> np.ndarray:
        return self.parts == CHUNKS.index(chunk)

    def lose(self, where: np.ndarray, count: int) -> Trial:
        """The candidate misses so many more of those images."""
        self.ours[np.flatnonzero(where & self.ours)[:count]] = False
        return self

    def everywhere(self) -> np.ndarray:
        return np.ones(len(self.labels), dtype=bool)

    def verdict(
        self,
        *,
        sure: float | None = None,
        champion: bool = True,
        diverged: bool = False,
        **policy: Any,
    ) -> Verdict:
        """`sure`: the candidate's confidence in each of its answers."""
        case = Case(
            candidate=self._answers(self.ours, self.sure if sure is None else sure),
            champion=self._answers(self.theirs, self.sure) if champion else None,
            champion_version=7 if champion else None,
            classes=CLASSES,
            chunks=CHUNKS,
            learned=CHUNKS[:2] if champion else (),
            diverged=diverged,
        )
        return decide(case, Gate.from_dict(policy))

    def _answers(self, right: np.ndarray, sure: float) -> Answers:
        return Answers(
            label_N=self.labels,
            answer_N=np.where(right, self.labels, (self.labels + 1) % len(CLASSES)),
            confidence_N=np.full(len(right), sure, dtype=np.float32),
            part_N=self.parts,
            names=CHUNKS,
        )


def flat(correct: int, champion: int, images: int) -> Trial:
    """Images of one class and chunk; what the worse one got right the better one did too."""
    nth, zeros = np.arange(images), np.zeros(images, dtype=np.int64)
    return Trial(nth < correct, nth < champion, zeros, zeros)


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in verdict.rules}


def words_of(verdict: Verdict, rule: str) -> str:
    (words,) = (finding.words for finding in verdict.rules if finding.rule == rule)
    return words


def numbers_of(verdict: Verdict, rule: str) -> dict[str, Any]:
    (numbers,) = (finding.numbers for finding in verdict.rules if finding.rule == rule)
    return numbers
