"""An experiment from settings to records, whatever happens to the process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from lure_core.data import collect
from lure_core.errors import ConfigError
from lure_core.experiment import desk, lineage, measure, plan, run
from lure_core.experiment.plan import Run
from lure_core.experiment.record import PRICED, Journal, Record
from lure_core.experiment.settings import Experiment
from lure_core.experiment.streams import open_stream
from lure_core.release import release
from lure_core.replay import CycleData, choose
from lure_core.types import Split
from tests.lure_core.experiment.making import create_experiment
from tests.lure_core.experiment.writing import write_zip

BOTH = {"methods": ["lure", "random-reset"], "budgets": ["1", "1/2"], "recipe": {"epochs": 4}}


@cache
def undisturbed() -> list[Record]:
    with TemporaryDirectory() as folder:
        return run.run(create_experiment(folder))


@pytest.fixture(autouse=True, scope="module")
def _before_anything_is_patched() -> None:
    """Whichever test comes first must not count, or kill, the run that others compare with."""
    undisturbed()


def of(records: list[Record], which: Run) -> list[Record]:
    return [record for record in records if record.run == which]


def same(left: list[Record], right: list[Record]) -> bool:
    """Bit for bit, but for the seconds."""
    return len(left) == len(right) and all(a.same(b) for a, b in zip(left, right, strict=True))


def test_a_run_has_a_record_for_every_chunk() -> None:
    records = undisturbed()
    assert [(r.method, r.chunk, r.chunks) for r in records] == [("lure", t, 3) for t in (1, 2, 3)]
    assert [r.images_seen for r in records] == [54, 108, 162]
    assert [r.train_images for r in records] == [54, 108, 162]
    assert [r.trained_images for r in records] == [108, 216, 324]
    assert [r.steps for r in records] == [2, 4, 6]
    assert [r.epochs for r in records] == [2, 2, 2]
    assert [len(r.earlier) for r in records] == [1, 2, 3]


def test_test_accuracy_is_that_of_the_streams_test_images() -> None:
    for record in undisturbed():
        assert record.test_images == 100
        assert record.errors == round(100 * (1 - record.accuracy))
        assert record.generalisation_gap == record.train_accuracy - record.accuracy


def test_flops_are_summed_over_the_chunks_and_their_price_is_what_made_the_versions() -> None:
    records = undisturbed()
    assert {"relearn", "select", "unlearn", "prequential", "evaluate"} <= set(records[0].flops)
    for record in records:
        assert record.price == sum(record.flops.get(purpose, 0) for purpose in PRICED)
    relearned = [record.flops["relearn"] for record in records]
    assert [flops // relearned[0] for flops in relearned] == [1, 3, 6]
    assert records[0].flops["unlearn"] == 0 < records[1].flops["unlearn"]


def test_unlearning_is_told_of_from_the_second_chunk_on_and_overlaps_from_the_third() -> None:
    first, second, third = undisturbed()
    assert first.unlearn is None
    assert first.prequential_accuracy is None
    assert second.unlearn is not None
    assert second.unlearn["reset"] == round(0.2 * second.unlearn["counted"])
    assert second.mask_overlap is None
    assert third.mask_overlap is not None
    assert third.mask_chance == pytest.approx(0.2, abs=1e-4)
    assert 0.2 < third.mask_overlap < 1


def test_the_last_record_tells_of_calibration() -> None:
    *_, before, last = undisturbed()
    assert before.calibration is None
    assert last.calibration is not None
    assert last.calibration["before"]["ece"] == pytest.approx(last.ece, abs=1e-6)
    assert last.robustness is None


def test_methods_and_budgets_share_the_first_chunk(tmp_path: Path) -> None:
    records = run.run(create_experiment(tmp_path, **BOTH))
    first = [record for record in records if record.chunk == 1]
    assert len(first) == 4
    for record in first:
        assert replace(record, method="lure", budget="1") == first[0]


def test_the_first_chunk_is_learned_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycles = count_cycles(monkeypatch)
    run.run(create_experiment(tmp_path, **BOTH))
    assert len(cycles) == 1 + 4 * 2


def test_what_differs_in_the_first_chunk_does_not_share_it(tmp_path: Path) -> None:
    custom = {"averaged": {"recipe": {"l2_init": 0.01}}}
    records = run.run(
        create_experiment(tmp_path, methods=["warm", "averaged"], custom=custom, chunks=2)
    )
    warm, averaged = (r for r in records if r.chunk == 1)
    assert warm.seconds != averaged.seconds


def test_a_budget_shortens_relearning_and_not_the_first_chunk(tmp_path: Path) -> None:
    records = run.run(create_experiment(tmp_path, **BOTH))
    assert [r.epochs for r in of(records, Run("lure", 0))] == [4, 4, 4]
    assert [r.epochs for r in of(records, Run("lure", 0, "1/2"))] == [4, 2, 2]


def test_scratch_relearns_from_a_fresh_model_on_everything(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path, methods=["scratch"])
    *_, last = run.run(settings)
    assert last.unlearn is not None
    assert set(last.unlearn["layer_share"].values()) == {1.0}


def test_label_noise_reaches_training_and_not_the_test(tmp_path: Path) -> None:
    settings = create_experiment(
        tmp_path, label_noise=[0.0, 0.4], methods=["warm"], chunks=2, recipe={"epochs": 15}
    )
    records = run.run(settings)
    clean, noisy = (of(records, Run("warm", 0, "1", noise))[-1] for noise in (0.0, 0.4))
    assert noisy.train_accuracy < clean.train_accuracy
    assert noisy.accuracy < clean.accuracy


def test_with_wrong_labels_what_is_known_is_measured_against_the_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[list[torch.Tensor]] = []
    accuracies = measure.accuracies

    def listening(version: Any, parts: Any, **others: Any) -> Any:
        measured.append([samples.labels for samples in parts])
        return accuracies(version, parts, **others)

    monkeypatch.setattr(measure, "accuracies", listening)
    replay = {"kind": "buffer", "capacity": 40, "keep": "class-balanced"}
    settings = create_experiment(tmp_path, label_noise=[0.5], chunks=2, replay=replay)
    _, last = run.run(settings)
    clean, noisy = (open_stream(settings, seed=0, noise=noise) for noise in (0.0, 0.5))
    past, new = noisy.chunks
    kept = choose(CycleData([new], [past]), settings.replay, seed=0).rows(Split.TRAIN)
    learned, *select = measured[-1]
    assert torch.equal(learned, collect(clean.chunks, kept).labels)
    for labels, right, wrong in zip(select, clean.chunks, noisy.chunks, strict=True):
        assert torch.equal(labels, right.of(Split.SELECT).labels)
        assert not torch.equal(labels, wrong.of(Split.SELECT).labels)
    assert last.generalisation_gap == last.train_accuracy - last.accuracy


def test_a_limit_of_memory_reaches_the_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    run_cycle = lineage.run_cycle

    def listening(start: Any, data: Any, config: Any, on_stage: Any) -> Any:
        limits.append(config.resident_mib)
        return run_cycle(start, data, config, on_stage)

    monkeypatch.setattr(lineage, "run_cycle", listening)
    assert same(run.run(create_experiment(tmp_path, resident_mib=0)), undisturbed())
    assert limits == [0, 0, 0]


def test_a_record_tells_the_version_that_made_it() -> None:
    for record in undisturbed():
        assert record.environment["libraries"]["lure"] == release()


def test_two_processes_do_not_mix_their_records(tmp_path: Path) -> None:
    class Rival:
        told = ""

        def begin(self, _: Any) -> None:
            with pytest.raises(ConfigError) as caught:
                run.run(create_experiment(tmp_path, seeds=[1]))
            Rival.told = str(caught.value)

        def tell(self, _: Any) -> None:
            pass

    records = run.run(create_experiment(tmp_path), [Rival()])
    assert Rival.told.startswith("another process works in")
    assert same(records, undisturbed())


def test_data_that_changed_are_refused_and_data_that_moved_are_not(tmp_path: Path) -> None:
    def settings(data: str) -> Experiment:
        return create_experiment(
            tmp_path / "out", dataset="zips", data=str(tmp_path / data), chunks=None,
            chunk_size=None, test_images=4,
        )  # fmt: skip

    for number in range(2):
        write_zip(tmp_path / "here" / f"{number}.zip", ["a", "b"] * 10, seed=number)
    records = run.run(settings("here"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert run.run(settings("there")) == records
    write_zip(tmp_path / "changed" / "0.zip", ["a", "b"] * 10)
    write_zip(tmp_path / "changed" / "1.zip", ["b", "a"] * 10, seed=1)
    with pytest.raises(ConfigError, match="holds runs of other data"):
        run.run(settings("changed"))


def test_replay_can_be_none(tmp_path: Path) -> None:
    records = run.run(create_experiment(tmp_path, replay={"kind": "none"}))
    assert [r.train_images for r in records] == [54, 54, 54]
    assert [r.replayed_images for r in records] == [0, 0, 0]
    assert [r.images_seen for r in records] == [54, 108, 162]


def test_robustness_is_measured_at_the_end_where_asked_for(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path, robustness=True, chunks=2, test_images=20)
    first, last = run.run(settings)
    assert first.robustness is None
    assert last.robustness is not None
    assert last.robustness["images"] == 20


def test_a_run_that_diverges_is_recorded_as_it_is(tmp_path: Path) -> None:
    settings = create_experiment(tmp_path, recipe={"learning_rate": 100.0, "epochs": 8})
    records = run.run(settings)
    assert len(records) == 3
    assert records[-1].accuracy < 0.3
    assert same(run.run(settings), records)
    for line in (tmp_path / "records.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_listeners_hear_of_the_runs_and_of_every_record(tmp_path: Path) -> None:
    class Ear:
        def __init__(self) -> None:
            self.todo: list[Run] = []
            self.records: list[Record] = []

        def begin(self, todo: Any) -> None:
            self.todo += todo

        def tell(self, record: Record) -> None:
            self.records.append(record)

    settings = create_experiment(tmp_path, **BOTH)
    ear, late = Ear(), Ear()
    records = run.run(settings, [ear])
    assert ear.todo == plan.runs(settings)
    assert ear.records == records
    run.run(settings, [late])
    assert (late.todo, late.records) == ([], [])


def test_nothing_but_the_results_stays_in_the_folder(tmp_path: Path) -> None:
    run.run(create_experiment(tmp_path, save_every_s=0.0))
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".lock",
        "experiment.json",
        "records.jsonl",
        "work",
    ]


# Again, and more of it.


def count_cycles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by an entry with every cycle."""
    cycles: list[int] = []
    run_cycle = lineage.run_cycle

    def counting(*given: Any) -> Any:
        cycles.append(1)
        return run_cycle(*given)

    monkeypatch.setattr(lineage, "run_cycle", counting)
    return cycles


def test_what_is_finished_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = create_experiment(tmp_path)
    records = run.run(settings)
    content = (tmp_path / "records.jsonl").read_bytes()
    cycles = count_cycles(monkeypatch)
    assert run.run(settings) == records
    assert cycles == []
    assert (tmp_path / "records.jsonl").read_bytes() == content


def test_seeds_and_methods_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.run(create_experiment(tmp_path))
    cycles = count_cycles(monkeypatch)
    records = run.run(create_experiment(tmp_path, seeds=[0, 1], methods=["lure", "warm"]))
    assert {record.run for record in records} == {
        Run(method, seed) for method in ("lure", "warm") for seed in (0, 1)
    }
    assert len(cycles) == (1 + 2) + (1 + 2 + 2)
    assert same(of(records, Run("lure", 0)), undisturbed())


def test_fewer_seeds_give_the_records_of_those(tmp_path: Path) -> None:
    run.run(create_experiment(tmp_path, seeds=[0, 1]))
    assert same(run.run(create_experiment(tmp_path)), undisturbed())


def test_another_experiment_in_the_folder_is_refused(tmp_path: Path) -> None:
    run.run(create_experiment(tmp_path, chunks=2))
    with pytest.raises(ConfigError, match=r"experiment\.chunks was 2 there and is 3 here"):
        run.run(create_experiment(tmp_path))


# Killed.


class Killed(BaseException):
    pass


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes writing a file of the desk raise, the nth time."""
    write = desk.replace_with

    def prepare(fatal: int) -> None:
        calls = 0

        def replace_with(path: Path, content: bytes) -> None:
            nonlocal calls
            calls += 1
            if calls == fatal:
                path.with_name(f"{path.name}.77.new").write_bytes(content[:50])
                raise Killed
            write(path, content)

        monkeypatch.setattr(desk, "replace_with", replace_with)

    return prepare


def lives(settings: Experiment, die_at: Callable[[int], None], fatal: int) -> int:
    """How many it takes to end, each dying at its nth write."""
    count = 0
    while True:
        count += 1
        die_at(fatal)
        try:
            run.run(settings)
        except Killed:
            continue
        return count


@pytest.mark.parametrize("fatal", [3, 5, 8, 16])
def test_killed_at_any_write_it_ends_with_the_same_records(
    tmp_path: Path, die_at: Callable[[int], None], fatal: int
) -> None:
    settings = create_experiment(tmp_path, save_every_s=0.0)
    assert lives(settings, die_at, fatal) >= (2 if fatal > 3 else 5)
    assert same(run.run(settings), undisturbed())
    assert list((tmp_path / "work").iterdir()) == []


def test_a_chunk_that_is_done_is_not_done_again(
    tmp_path: Path, die_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = create_experiment(tmp_path, save_every_s=1e4)
    die_at(3)  # one write a chunk: in the third
    with pytest.raises(Killed):
        run.run(settings)
    cycles = count_cycles(monkeypatch)
    die_at(-1)
    assert same(run.run(settings), undisturbed())
    assert len(cycles) == 1


def test_a_half_done_cycle_of_other_code_is_begun_anew(
    tmp_path: Path, die_at: Callable[[int], None]
) -> None:
    settings = create_experiment(tmp_path, save_every_s=0.0)
    die_at(7)
    with pytest.raises(Killed):
        run.run(settings)
    halves = list((tmp_path / "work").glob("*.half"))
    assert halves
    for half in halves:
        half.write_bytes(b"of another age")
    die_at(-1)
    assert same(run.run(settings), undisturbed())


def test_a_run_whose_version_is_lost_is_done_again_without_a_trace(
    tmp_path: Path, die_at: Callable[[int], None]
) -> None:
    settings = create_experiment(tmp_path, save_every_s=1e4)
    die_at(3)
    with pytest.raises(Killed):
        run.run(settings)
    for path in (tmp_path / "work").iterdir():
        path.unlink()
    die_at(-1)
    assert same(run.run(settings), undisturbed())
    assert same(Journal(tmp_path / "records.jsonl").of(Run("lure", 0)), undisturbed())
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 3


def test_killed_after_the_last_record_its_files_are_cleared_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: Any) -> None:
        raise Killed

    settings = create_experiment(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(lineage, "tidy", dying)
        with pytest.raises(Killed):
            run.run(settings)
    assert len(list((tmp_path / "work").iterdir())) == 2
    assert same(run.run(settings), undisturbed())
    assert list((tmp_path / "work").iterdir()) == []


SUICIDE = """
import os, signal, sys
from lure_core.experiment import desk, record, run
from tests.lure_core.experiment.making import create_experiment

calls = 0

def deadly(work):
    def working(*given):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given)
    return working

desk.replace_with = deadly(desk.replace_with)
record.Journal.add = deadly(record.Journal.add)
if __name__ == "__main__":
    settings = create_experiment(
        sys.argv[1], save_every_s=0.0, jobs=int(sys.argv[3]), seeds=[0, 1]
    )
    run.run(settings)
"""


def kill(folder: Path, *, at: int, jobs: int) -> None:
    """Run in a process that kills itself at its nth write; returns when all its children are gone.

    They hold its stdout, whose end is waited for.
    """
    command = [sys.executable, "-c", SUICIDE, str(folder), str(at), str(jobs)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=100, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_process_killed_for_good_loses_nothing(tmp_path: Path) -> None:
    kill(tmp_path, at=13, jobs=1)
    records = run.run(create_experiment(tmp_path, seeds=[0, 1]))
    assert list((tmp_path / "work").iterdir()) == []
    assert same(of(records, Run("lure", 0)), undisturbed())
    assert len(of(records, Run("lure", 1))) == 3


def test_killed_with_several_jobs_its_processes_leave_and_nothing_is_lost(tmp_path: Path) -> None:
    kill(tmp_path, at=4, jobs=2)
    records = run.run(create_experiment(tmp_path, seeds=[0, 1]))
    assert list((tmp_path / "work").iterdir()) == []
    assert same(of(records, Run("lure", 0)), undisturbed())
    assert len(of(records, Run("lure", 1))) == 3
