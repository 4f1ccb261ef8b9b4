"""The figures of a stream, on planted rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from lure_core.anytime import cumulative_error
from store import streams
from store.models import Chunk, Cycle, Feedback, Rerun, Stream
from store.states import RerunState
from tests.factories import create_version
from tests.service.conftest import Plane
from tests.service.control import problem

CORRECT, IMAGES = (80, 170, 285), (100, 200, 300)
PREQUENTIAL = (None, 0.6, 0.9)


def plant(plane: Plane, row: Stream, place: int) -> None:
    """A version with figures, and what its cycle took."""
    metrics = {
        "accuracy": CORRECT[place] / IMAGES[place],
        "correct": CORRECT[place],
        "images": IMAGES[place],
        "ece": 0.05,
        "forgetting": 0.01 * place,
        "backward_transfer": None,
    }
    version = create_version(
        plane.database,
        row,
        metrics=metrics,
        verdict={"outcome": "passed", "promoted": True},
        environment={"images_per_s": 512.0, "timings": {"relearn": 2.0}, "flops": {"relearn": 7}},
    )
    with plane.database.begin() as session:
        told = update(Chunk).where(Chunk.cycle_id == version.cycle_id)
        session.execute(told.values(prequential_accuracy=PREQUENTIAL[place]))
        spent = {"unlearn": 0.5, "relearn": 2.0}
        session.execute(update(Cycle).where(Cycle.id == version.cycle_id).values(timings=spent))


@pytest.fixture
def row(plane: Plane, stream: str) -> Stream:
    """A stream of three versions."""
    with plane.database.begin() as session:
        row = streams.get(session, stream)
    for place in range(3):
        plant(plane, row, place)
    return row


def metrics_of(plane: Plane, row: Stream, **params: Any) -> dict[str, Any]:
    answer = plane.client.get(f"/v1/streams/{row.name}/metrics", params=params)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_the_curve_has_a_point_a_version(plane: Plane, row: Stream) -> None:
    shown = metrics_of(plane, row)
    assert shown["versions"] == 3
    second = shown["curve"][1]
    at = second.pop("at")
    assert at.endswith("Z")
    assert second == {
        "version": 2,
        "positions": [2],
        "images": 10,
        "accuracy": 0.85,
        "ece": 0.05,
        "prequential_accuracy": 0.6,
        "cumulative_error": {"count": 50, "share": 50 / 300},
        "prequential": {"images": 10, "accuracy": 0.6},
        "forgetting": 0.01,
        "backward_transfer": None,
        "seconds": 2.5,
        "images_per_s": 512.0,
        "outcome": "passed",
        "promoted": True,
    }


def test_the_cumulative_error_is_that_of_the_core(plane: Plane, row: Stream) -> None:
    shown = metrics_of(plane, row)["curve"]
    assert [point["cumulative_error"]["count"] for point in shown] == [20, 50, 65]
    for seen in (1, 2, 3):
        wanted = cumulative_error(CORRECT[:seen], IMAGES[:seen])
        assert shown[seen - 1]["cumulative_error"] == wanted.to_dict()


def test_prequential_accuracy_is_summed_over_the_images_that_were_tested(
    plane: Plane, row: Stream
) -> None:
    shown = metrics_of(plane, row)["curve"]
    assert [point["prequential"] for point in shown] == [
        {"images": 0, "accuracy": None},
        {"images": 10, "accuracy": 0.6},
        {"images": 20, "accuracy": 0.75},
    ]


def test_few_points_still_sum_over_all_versions(plane: Plane, row: Stream) -> None:
    whole, part = metrics_of(plane, row), metrics_of(plane, row, limit=1)
    assert part["curve"] == whole["curve"][-1:]
    assert part["versions"] == 3
    problem(plane.client.get(f"/v1/streams/{row.name}/metrics", params={"limit": 0}), 422)


def test_a_version_from_before_right_answers_were_kept_counts_for_nothing(
    plane: Plane, row: Stream
) -> None:
    create_version(plane.database, row)  # its metrics are an accuracy alone
    before, last = metrics_of(plane, row)["curve"][-2:]
    assert last["cumulative_error"] == before["cumulative_error"]
    assert (last["accuracy"], last["forgetting"], last["seconds"]) == (0.9, None, 0.0)


def test_live_accuracy_has_an_interval(plane: Plane, row: Stream) -> None:
    with plane.database.begin() as session:
        for place in range(10):
            label = "1" if place < 8 else "0"
            session.add(
                Feedback(
                    stream_id=row.id,
                    prediction_id=f"prd_{place}",
                    version=3,
                    answer="1",
                    label=label,
                )
            )
    (live,) = metrics_of(plane, row)["live"]
    assert (live["version"], live["labelled"], live["correct"]) == (3, 10, 8)
    assert live["accuracy"]["value"] == 0.8
    assert live["accuracy"]["low"] == pytest.approx(0.49, abs=0.001)


def test_counterfactuals_are_set_beside_the_versions(plane: Plane, row: Stream) -> None:
    result = {
        "metrics": {"accuracy": 0.8, "images": 200},
        "timings": {"relearn": 4.0, "evaluate": 9.0},
        "flops": {"relearn": 9},
    }
    with plane.database.begin() as session:
        session.add(
            Rerun(
                id=f"rer_{row.name}",
                stream_id=row.id,
                version=2,
                method="scratch",
                reason="counterfactual",
                state=RerunState.SUCCEEDED,
                result=result,
            )
        )
    shown = metrics_of(plane, row)["counterfactual"]
    (comparison,) = shown["comparisons"]
    assert comparison["own"]["accuracy"] == 0.85
    assert comparison["own"]["seconds"] == 2.0
    (other,) = comparison["others"]
    assert (other["method"], other["accuracy"], other["seconds"]) == ("scratch", 0.8, 4.0)
    (judgement,) = shown["judgements"]
    assert (judgement["method"], judgement["worth_it"]) == ("scratch", "too few to tell")
    assert judgement["own"] == {"accuracy": 0.85, "seconds": 2.0}
    assert judgement["other"] == {"accuracy": 0.8, "seconds": 4.0}


def test_a_new_stream_has_no_figures_yet(plane: Plane, stream: str) -> None:
    shown = plane.client.get(f"/v1/streams/{stream}/metrics").json()
    assert shown == {
        "stream": stream,
        "versions": 0,
        "curve": [],
        "live": [],
        "counterfactual": {"judgements": [], "comparisons": []},
    }
    problem(plane.client.get("/v1/streams/nowhere/metrics"), 404, "not-found")
