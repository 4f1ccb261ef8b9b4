"""What a model answered, image by image, so that two models can be compared pair by pair.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Answers:
    """One model's answers; those of another model on the same images lie in the same order.

    Attributes:
        label_N: int64, the right class of each image, as an index into the class list.
        answer_N: int64, the most probable class by the model.
        confidence_N: float32, the probability that the model gave it, 0…1.
        part_N: int64, which chunk the image came in, as an index into `names`.
        names: Of the chunks, in order; see `Samples.name`.
    """

    label_N: npt.NDArray[np.int64]
    answer_N: npt.NDArray[np.int64]
    confidence_N: npt.NDArray[np.float32]
    part_N: npt.NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        probabilities_NK: npt.NDArray[np.float32],
        label_N: npt.NDArray[np.int64],
        *,
        names: Sequence[str] = ("",),
        lengths: Sequence[int] = (),
    ) -> Answers:
        """Those that given probabilities amount to.

        Args:
            probabilities_NK: Of all classes, or only of the first of them.
            label_N: The right classes.
            names: Of the chunks that the images came in, in order.
            lengths: Images of each chunk; () where there is one.
        """
        return cls(
            label_N=label_N,
            answer_N=probabilities_NK.argmax(axis=1),
            confidence_N=probabilities_NK.max(axis=1),
            part_N=np.repeat(np.arange(len(names)), lengths or len(label_N)),
            names=tuple(names),
        )

    def __len__(self) -> int:
        return len(self.label_N)

    @property
    def right_N(self) -> npt.NDArray[np.bool_]:
        """Which images were answered rightly."""
        return np.equal(self.answer_N, self.label_N)

    def by_chunk(self) -> list[Tally]:
        """How the model did on each chunk, in the order of `names`."""
        images = np.bincount(self.part_N, minlength=len(self.names))
        correct = np.bincount(self.part_N[self.right_N], minlength=len(self.names))
        pairs = zip(images.tolist(), correct.tolist(), strict=True)
        return [Tally(images=seen, correct=right) for seen, right in pairs]


@dataclass(frozen=True)
class Tally:
    """Right answers among some images."""

    images: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """0…1; None where there is no image."""
        return self.correct / self.images if self.images else None
