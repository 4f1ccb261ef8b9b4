"""Filters against scipy's, and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from lure_core.corruptions import filters

Plane = npt.NDArray[np.float64]


def plane(height: int = 9, width: int = 12) -> Plane:
    return np.random.default_rng(0).random((height, width))


def as_images(values: Plane) -> torch.Tensor:
    return torch.from_numpy(values)[None, None]


@pytest.mark.parametrize(
    ("border", "mode"),
    [(filters.nearest, "nearest"), (filters.mirror, "mirror"), (filters.symmetric, "reflect")],
)
def test_borders_are_scipys_however_far_out(border: filters.Border, mode: str) -> None:
    line = np.arange(5.0)
    padded = np.pad(line, 14, mode={"nearest": "edge", "mirror": "reflect"}.get(mode, "symmetric"))
    assert line[border(torch.arange(-14, 19), 5).numpy()].tolist() == padded.tolist()


@pytest.mark.parametrize("radius", [1.5, 3, 10])
def test_correlate_is_scipys_even_where_the_kernel_is_larger_than_the_image(radius: float) -> None:
    kernel = filters.disk(radius, 0.5)
    expected = ndimage.correlate(plane(), kernel.numpy(), mode="mirror")
    found = filters.correlate(as_images(plane()), kernel, filters.mirror)
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("radius", "points"), [(0.3, 1), (1, 5), (1.5, 9), (3, 29), (8, 197), (10, 317)]
)
def test_a_disk_has_the_points_within_its_radius(radius: float, points: int) -> None:
    sharp = filters.disk(radius, 0.05)
    assert int((sharp > 1e-6).sum()) == points
    soft = filters.disk(radius, 0.5)
    assert float(soft.sum()) == pytest.approx(1)
    assert torch.allclose(soft, soft.T)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.5])
def test_gaussian_blur_is_scipys(sigma: float) -> None:
    expected = ndimage.gaussian_filter(plane(), sigma, mode="nearest", truncate=4)
    found = filters.gaussian_blur(as_images(plane()), sigma)
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 2.0, 9.0])
def test_smoothing_is_scipys_even_where_it_reaches_beyond_the_line(sigma: float) -> None:
    expected = ndimage.gaussian_filter(plane(9, 9)[0], sigma, mode="reflect", truncate=3)
    found = filters.smoothing(9, sigma).double() @ torch.from_numpy(plane(9, 9)[0])
    assert np.allclose(found.numpy(), expected, atol=1e-6)


def test_sample_reads_between_pixels_as_scipy_does() -> None:
    draws = np.random.default_rng(1)
    rows, columns = draws.uniform(-6, 15, (9, 12)), draws.uniform(-6, 18, (9, 12))
    expected = ndimage.map_coordinates(plane(), [rows, columns], order=1, mode="mirror")
    places = (torch.from_numpy(rows)[None], torch.from_numpy(columns)[None])
    found = filters.sample(as_images(plane()), *places)
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-9)


def test_zoom_keeps_the_centre_and_halves_what_is_seen() -> None:
    ramp = np.tile(np.arange(9.0), (9, 1))
    seen = filters.zoom(as_images(ramp), 2)[0, 0, 0]
    assert np.allclose(seen.numpy(), np.linspace(2, 6, 9), atol=1e-6)
    unchanged = filters.zoom(as_images(plane()), 1)
    assert torch.allclose(unchanged, as_images(plane()), atol=1e-5)


@pytest.mark.parametrize(
    ("degrees", "trail"),
    [(0.0, lambda step: (8, 8 - step)), (90.0, lambda step: (8 - step, 8))],
)
def test_motion_leaves_half_a_gaussian_behind_a_point(
    degrees: float, trail: Callable[[int], tuple[int, int]]
) -> None:
    point = torch.zeros(1, 1, 17, 17)
    point[0, 0, 8, 8] = 1
    blurred = filters.motion_blur(point, radius=3, sigma=2, degrees_N=torch.tensor([degrees]))
    weights = np.exp(-(np.arange(7) ** 2) / 8)
    weights /= weights.sum()
    for step, weight in enumerate(weights):
        assert float(blurred[0, 0][trail(step)]) == pytest.approx(weight, rel=1e-6)
    assert float(blurred.sum()) == pytest.approx(1)
