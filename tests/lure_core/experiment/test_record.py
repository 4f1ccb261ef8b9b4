"""Records in a file that survives its writer."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from lure_core.errors import ConfigError
from lure_core.experiment.plan import Run
from lure_core.experiment.record import Journal, Record
from tests.lure_core.experiment.making import create_record, create_run

RUN = Run("lure", 0, "1/5", 0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def write(path: Path, records: list[Record]) -> None:
    journal = Journal(path)
    for record in records:
        journal.add(record)


def test_what_was_added_is_there_after_opening_again(path: Path) -> None:
    records = create_run(RUN, 0.5, 0.6, 0.7)
    write(path, records)
    assert Journal(path).of(RUN) == records
    assert len(path.read_text().splitlines()) == 3


def test_a_run_is_finished_with_its_last_chunk(path: Path) -> None:
    *first, last = create_run(RUN, 0.5, 0.6, 0.7)
    write(path, first)
    assert not Journal(path).has(RUN)
    write(path, [last])
    assert Journal(path).has(RUN)
    assert not Journal(path).has(Run("lure", 1))


def test_a_run_that_lacks_a_chunk_in_the_middle_is_not_finished(path: Path) -> None:
    first, _, last = create_run(RUN, 0.5, 0.6, 0.7)
    write(path, [first, last])
    assert not Journal(path).has(RUN)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_last_line_is_dropped_and_the_file_can_be_gone_on_with(
    path: Path, kept: int
) -> None:
    records = create_run(RUN, 0.5, 0.6, 0.7)
    write(path, records)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    assert Journal(path).of(RUN) == records[:2]
    write(path, records)
    assert Journal(path).of(RUN) == records
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("line", ["{}", "nonsense", "[1]", '{"method": "lure"}'])
def test_another_line_that_is_no_record_is_refused(path: Path, line: str) -> None:
    path.write_text(f"{json.dumps(create_record(RUN).to_dict())}\n{line}\n")
    with pytest.raises(ConfigError, match="line 2 is no record"):
        Journal(path)


def test_the_same_record_again_is_written_once_whatever_it_took(path: Path) -> None:
    record = create_record(RUN)
    journal = Journal(path)
    assert journal.add(record)
    assert not journal.add(replace(record, seconds={"relearn": 77.0}))
    assert journal.of(RUN) == [record]
    assert len(path.read_text().splitlines()) == 1


def test_of_two_that_differ_the_later_one_holds(path: Path) -> None:
    other = create_record(RUN, accuracy=0.9)
    write(path, [create_record(RUN, accuracy=0.5), other])
    assert Journal(path).of(RUN) == [other]


def test_runs_are_kept_apart(path: Path) -> None:
    runs = [RUN, Run("lure", 1, "1/5", 0.2), Run("lure", 0, "1", 0.2), Run("lure", 0, "1/5")]
    write(path, [create_record(run) for run in runs])
    assert [Journal(path).of(run) for run in runs] == [[create_record(run)] for run in runs]


def test_fields_of_a_later_version_are_passed_over() -> None:
    values = create_record(RUN).to_dict()
    assert Record.from_dict({**values, "something_new": 1}) == create_record(RUN)


def test_what_is_no_number_is_null_in_the_file_and_nan_again_when_read(path: Path) -> None:
    bins = [
        {"count": 0, "confidence": None, "accuracy": None},
        {"count": 3, "confidence": math.nan, "accuracy": 0.5},
    ]
    record = create_record(
        RUN,
        ece=math.nan,
        prequential_accuracy=None,
        calibration={"temperature": {"nll_after": math.inf}, "before": {"bins": bins}},
        unlearn={"details": {"loss": math.nan, "chosen": None}},
    )
    write(path, [record])
    json.loads(path.read_text(), parse_constant=pytest.fail)
    (found,) = Journal(path).of(RUN)
    assert math.isnan(found.ece)
    assert found.prequential_accuracy is None
    assert found.calibration is not None
    assert math.isnan(found.calibration["temperature"]["nll_after"])
    empty, full = found.calibration["before"]["bins"]
    assert empty == bins[0]
    assert math.isnan(full["confidence"])
    assert found.same(record)
    assert not Journal(path).add(record)
