"""Figures are drawn of what there is to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lure_core.experiment.curves import Found
from lure_core.experiment.figures import frontier
from lure_core.experiment.looks import looks
from lure_core.experiment.masks import layer_shares, overlap
from lure_core.experiment.plan import Run
from lure_core.experiment.record import Record
from lure_core.experiment.summary import summarise
from lure_core.experiment.trust import bins, held
from tests.lure_core.experiment.making import create_record, create_run

CALIBRATION = {
    "before": {
        "ece": 0.1,
        "bins": [
            {"count": 0, "confidence": None, "accuracy": None},
            {"count": 4, "confidence": 0.5, "accuracy": 0.25},
            {"count": 16, "confidence": 0.9, "accuracy": 0.75},
        ],
    },
    "after": {"ece": 0.05},
}
ROBUSTNESS = {
    "corruption": {
        "accuracy": 0.5,
        "families": {"fog": {"mean_accuracy": 0.4}, "jpeg": {"mean_accuracy": 0.6}},
    },
    "pgd": {"accuracy": 0.2},
}


def unlearned(first: float, second: float) -> dict[str, Any]:
    return {
        "strategy": "lure",
        "layer_share": {"1.weight": first, "1.bias": 0.0, "3.weight": second},
    }


def create_records(noise: float = 0.0) -> list[Record]:
    records = []
    for seed in (0, 1):
        for method in ("scratch", "lure", "shrink-perturb:dash"):
            for budget in ("1", "1/5"):
                run = Run(method, seed, budget, noise)
                first, *later = create_run(run, 0.5, 0.7 + 0.01 * seed, 0.8 - 0.1 * (budget != "1"))
                told = {"mask_overlap": 0.4, "mask_chance": 0.2, "calibration": CALIBRATION}
                told["unlearn"] = unlearned(0.1, 0.3)
                told["price"] = 1000 if budget == "1" else 300
                records += [first, *(Record.from_dict(r.to_dict() | told) for r in later)]
    return records


def draw(folder: Path, records: list[Record]) -> list[str]:
    plots = pytest.importorskip("lure_core.experiment.plots")
    pytest.importorskip("matplotlib")
    rows = summarise(records, list(dict.fromkeys(record.run for record in records)))
    return [path.name for path in plots.draw(folder, rows, records, title="digits")]


def test_every_figure_is_a_picture_with_something_in_it(tmp_path: Path) -> None:
    records = [*create_records(), *create_records(noise=0.2)]
    records[-1] = Record.from_dict(records[-1].to_dict() | {"robustness": ROBUSTNESS})
    names = draw(tmp_path, records)
    assert names == [
        "accuracy.png",
        "cer.png",
        "pareto.png",
        "snip-layers.png",
        "mask-overlap.png",
        "reliability.png",
        "robustness.png",
    ]
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(10**7) or ()) > 20


def test_what_there_is_nothing_of_is_not_drawn(tmp_path: Path) -> None:
    names = draw(tmp_path, create_run(Run("warm", 0), 0.5, 0.6))
    assert names == ["accuracy.png", "cer.png", "pareto.png"]


def test_a_single_chunk_can_be_drawn(tmp_path: Path) -> None:
    assert draw(tmp_path, create_run(Run("lure", 0), 0.5)) == [
        "accuracy.png",
        "cer.png",
        "pareto.png",
    ]


def test_the_overlap_by_chance_is_one_line_across_each_panel(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    plots = pytest.importorskip("lure_core.experiment.plots")
    records = create_records()
    rows = summarise(records, list(dict.fromkeys(record.run for record in records)))
    panels = plots._panels(records)
    with matplotlib.rc_context():
        figure = overlap(Found("digits", rows, panels, looks(row.method for row in rows)))
    axes = [axis for axis in figure.axes if axis.has_data()]
    assert len(axes) == 2
    for axis in axes:
        lines = [line for line in axis.lines if line.get_color() == "#555555"]
        assert [list(line.get_ydata()) for line in lines] == [pytest.approx([20.0, 20.0])]
        assert list(lines[0].get_xdata()) == [0, 1]  # of the panel's width


def test_drawing_leaves_matplotlibs_settings_alone(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    draw(tmp_path, create_run(Run("warm", 0), 0.5, 0.6))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("points", "best"),
    [
        ([(1.0, 5.0), (2.0, 6.0), (3.0, 5.5)], [0, 1]),
        ([(3.0, 9.0), (1.0, 1.0), (2.0, 1.0)], [1, 0]),
        ([(1.0, 2.0), (1.0, 3.0)], [1]),
        ([(1.0, 3.0), (2.0, 3.0)], [0]),
        ([], []),
    ],
)
def test_the_frontier_is_what_none_beats_in_both(
    points: list[tuple[float, float]], best: list[int]
) -> None:
    assert frontier(points) == best


def test_no_two_methods_look_alike_and_the_common_ones_as_always() -> None:
    names = [f"method {number}" for number in range(20)]
    found = looks([*names, "scratch", "lure"])
    assert len({(look.colour, look.marker, look.line) for look in found.values()}) == 22
    assert found["lure"] == looks(["lure"])["lure"]
    assert found["scratch"] == looks(["scratch"])["scratch"]


def test_layer_shares_are_means_over_the_seeds_without_layers_that_stay() -> None:
    records = [
        create_record(Run("lure", seed), chunk, unlearn=unlearned(*shares))
        for seed, shares in ((0, (0.1, 0.3)), (1, (0.3, 0.5)))
        for chunk in (3, 2)
    ]
    shares = layer_shares([create_record(), *records])
    assert set(shares) == {"1.weight", "3.weight"}
    assert shares["1.weight"] == pytest.approx([0.2, 0.2])
    assert shares["3.weight"] == pytest.approx([0.4, 0.4])


def test_reliability_bins_weigh_by_their_images_and_leave_out_few() -> None:
    first = create_record(calibration=CALIBRATION)
    assert bins([first]) == [(90.0, 75.0)]
    assert bins([first, first, first])[0] == (50.0, 25.0)
    assert bins([create_record()]) == []


def test_robustness_is_a_mean_over_the_seeds() -> None:
    other = {
        "corruption": {
            "accuracy": 0.5,
            "families": {"fog": {"mean_accuracy": 0.6}, "jpeg": {"mean_accuracy": 0.6}},
        },
        "pgd": {"accuracy": 0.0},
    }
    records = [create_record(robustness=report) for report in (ROBUSTNESS, other)]
    assert held(records) == pytest.approx({"fog": 0.5, "jpeg": 0.6, "PGD-20": 0.1})
    assert held([create_record()]) == {}
