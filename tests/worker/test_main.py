"""Which tasks a command line makes its process load."""

from __future__ import annotations

import pytest

from worker.__main__ import queues_of


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("worker -Q learn -c 1", ("learn",)),
        ("worker -Qadmit", ("admit",)),
        ("worker --queues=learn,admit", ("admit", "learn")),
        ("worker --queues admit -c 2", ("admit",)),
        ("worker -c 1", ("admit", "learn")),
        ("beat -s FILE", ()),
    ],
)
def test_a_worker_loads_the_tasks_of_its_queues(line: str, queues: tuple[str, ...]) -> None:
    assert queues_of(line.split()) == queues
