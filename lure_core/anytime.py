"""Scores of a whole stream: how good the model was after every chunk, and what it lost on the way.

Plain numbers in, plain numbers out. An accuracy matrix is a list of rows, one a version: row t
holds the accuracy of version t on the test images of chunks 1…t (lower triangular, 0…1). An entry
that was not measured is None; so is a figure that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

History = Sequence[float | None]
Matrix = Sequence[History]


@dataclass(frozen=True)
class CumulativeError:
    """Wrong answers summed over all versions.

    Attributes:
        count: CER of ALMA (Caccia et al., arXiv 2106.09563): the errors on the test set, summed
            over the versions.
        share: The same as a share of all answers given, 0…1; 0.0 where there were none.
    """

    count: int
    share: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Change:
    """What became of each old chunk (all but the last) by the end of the stream.

    Attributes:
        per_chunk: A figure a chunk, in order; None where an entry it needs is missing.
        mean: Over the chunks that have one; None where none has.
    """

    per_chunk: tuple[float | None, ...]
    mean: float | None

    def to_dict(self) -> dict[str, Any]:
        return {"per_chunk": list(self.per_chunk), "mean": self.mean}


def mean_accuracy(accuracies: Sequence[float], *, start: int = 1) -> float:
    """Mean anytime accuracy: over the versions after chunks `start`…T, chunks counted from 1.

    Start at 2 where methods are compared: all begin with the same first version.
    """
    assert 1 <= start <= len(accuracies), f"no version from chunk {start} on"
    counted = accuracies[start - 1 :]
    return sum(counted) / len(counted)


def cumulative_error(correct: Sequence[int], images: Sequence[int]) -> CumulativeError:
    """CER of versions that answered `correct` of `images` test images rightly."""
    asked = sum(images)
    wrong = sum(all_ - right for right, all_ in zip(correct, images, strict=True))
    return CumulativeError(wrong, wrong / asked if asked else 0.0)


def forgetting(matrix: Matrix) -> Change:
    """Best accuracy that an earlier version had on the chunk, less the last version's.

    Chaudhry et al., "Riemannian Walk" (ECCV 2018), eq. 3; -1…1, below 0 where the last is best.
    """
    return _change(matrix, _forgotten)


def backward_transfer(matrix: Matrix) -> Change:
    """The last version's accuracy on the chunk, less that of the version that first learned it.

    Lopez-Paz & Ranzato, "Gradient Episodic Memory" (NeurIPS 2017), BWT; -1…1, below 0 where
    later chunks did harm.
    """
    return _change(matrix, _transferred)


def _forgotten(history: History) -> float | None:
    *earlier, last = history
    known = [accuracy for accuracy in earlier if accuracy is not None]
    return max(known) - last if known and last is not None else None


def _transferred(history: History) -> float | None:
    first, last = history[0], history[-1]
    return last - first if first is not None and last is not None else None


def _change(matrix: Matrix, figure: Callable[[History], float | None]) -> Change:
    assert all(len(row) == t for t, row in enumerate(matrix, start=1)), "not lower triangular"
    old = range(len(matrix) - 1)
    histories = [[row[chunk] for row in matrix[chunk:]] for chunk in old]
    per_chunk = tuple(figure(history) for history in histories)
    known = [value for value in per_chunk if value is not None]
    return Change(per_chunk, sum(known) / len(known) if known else None)
