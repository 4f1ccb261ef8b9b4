"""The constants of Hendrycks & Dietterich's code (hendrycks/robustness, ImageNet-C/create_c).

One tuple a severity; what its figures mean is told by the corruption that takes them. Figures in
pixels are those of the code, save for "elastic-transform", whose lengths are shares of the side.
"""

from __future__ import annotations

from types import MappingProxyType

Strength = tuple[float, ...]

SEVERITIES = (1, 2, 3, 4, 5)
CIFAR_UP_TO_PX = 64

_OVER_224 = 244 / 224
"""Theirs multiplies by 244 where it means 224, the side of the images: kept."""

CIFAR: MappingProxyType[str, tuple[Strength, ...]] = MappingProxyType(
    {
        "gaussian-noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
        "shot-noise": ((500,), (250,), (100,), (75,), (50,)),
        "impulse-noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
        "defocus-blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "glass-blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "motion-blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "zoom-blur": ((7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)),
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
        "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
        "elastic-transform": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
        "jpeg-compression": ((80,), (65,), (58,), (50,), (40,)),
    }
)

IMAGENET: MappingProxyType[str, tuple[Strength, ...]] = MappingProxyType(
    {
        "gaussian-noise": ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
        "shot-noise": ((60,), (25,), (12,), (5,), (3,)),
        "impulse-noise": ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
        "defocus-blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "glass-blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "motion-blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom-blur": ((12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03)),
        "snow": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        "elastic-transform": (
            (2 * _OVER_224, 0.7 * _OVER_224, 0.1 * _OVER_224),
            (2 * _OVER_224, 0.08 * _OVER_224, 0.2 * _OVER_224),
            (0.05 * _OVER_224, 0.01 * _OVER_224, 0.02 * _OVER_224),
            (0.07 * _OVER_224, 0.01 * _OVER_224, 0.02 * _OVER_224),
            (0.12 * _OVER_224, 0.01 * _OVER_224, 0.02 * _OVER_224),
        ),
        "pixelate": ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
        "jpeg-compression": ((25,), (18,), (15,), (10,), (7,)),
    }
)


def strength_of(family: str, severity: int, *, side: int) -> Strength:
    """The constants for images whose longer side has so many pixels."""
    table = CIFAR if side <= CIFAR_UP_TO_PX else IMAGENET
    return table[family][severity - 1]
