from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lure_core.data import Samples
from lure_core.experiment.noise import wrong_labels
from lure_core.types import Split


def create_samples(train: int, select: int, judge: int, classes: int) -> Samples:
    splits = [Split.TRAIN] * train + [Split.SELECT] * select + [Split.JUDGE] * judge
    count = len(splits)
    labels = torch.arange(count) % classes
    return Samples(torch.zeros(count, 1, 8, 8, dtype=torch.uint8), labels, torch.tensor(splits))


@given(
    sizes=st.tuples(st.integers(1, 60), st.integers(0, 20), st.integers(0, 20)),
    classes=st.integers(2, 12),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 999),
)
def test_the_share_is_exact_in_train_and_select_and_nothing_in_judge(
    sizes: tuple[int, int, int], classes: int, share: float, seed: int
) -> None:
    clean = create_samples(*sizes, classes)
    noisy = wrong_labels(clean, share, classes=classes, seed=seed)
    wrong = noisy.labels != clean.labels
    for split, size in zip(Split, sizes, strict=True):
        expected = 0 if split is Split.JUDGE else round(share * size)
        assert int(wrong[clean.splits == int(split)].sum()) == expected
    assert bool(((noisy.labels >= 0) & (noisy.labels < classes)).all())
    assert torch.equal(noisy.images, clean.images)


def test_wrong_classes_are_drawn_evenly_from_the_others() -> None:
    clean = create_samples(9000, 0, 0, 1)
    noisy = wrong_labels(clean, 0.9, classes=10, seed=0)
    counts = torch.bincount(noisy.labels, minlength=10)
    assert int(counts[0]) == 900
    assert bool(((counts[1:] > 800) & (counts[1:] < 1000)).all())  # 900 each, five deviations


def test_more_noise_keeps_the_wrong_labels_of_less() -> None:
    clean = create_samples(200, 40, 0, 5)
    little, much = (wrong_labels(clean, share, classes=5, seed=3).labels for share in (0.1, 0.3))
    hit = little != clean.labels
    assert torch.equal(little[hit], much[hit])


def test_the_seed_alone_says_which() -> None:
    clean = create_samples(200, 40, 0, 5)
    one, again, other = (wrong_labels(clean, 0.2, classes=5, seed=s).labels for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
