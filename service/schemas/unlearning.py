"""What a cycle unlearned before it learned."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, Field

from service.schemas.common import spelled
from store.models import Stream, Version


class MaskShape(BaseModel):
    """Which weights were reset, a bit each."""

    digest: str = Field(description="Of the bits, `sha256:` and hexadecimal digits")
    bytes: int
    counted: int = Field(description="Weights, and so bits that mean something")

    @classmethod
    def of(cls, version: Version) -> MaskShape | None:
        if version.mask_digest is None or version.unlearning is None:
            return None
        counted: int = version.unlearning["counted"]
        return cls(digest=spelled(version.mask_digest), bytes=(counted + 7) // 8, counted=counted)


class LayerShape(BaseModel):
    """One parameter among those that a strategy chose from."""

    name: str
    weights: int | None = Field(description="How many; null: not kept then")
    kept: float = Field(description="The share that was not reset, 0…1")


class UnlearningShape(BaseModel):
    """How much of the parent was forgotten on purpose, where, and by what."""

    version: int
    stream: str
    parent: int | None
    strategy: str
    counted: int = Field(description="Weights that the strategy chose among")
    reset: int = Field(description="Those that got new values")
    kept: float | None = Field(description="The share that was not reset; null: nothing counted")
    layers: list[LayerShape] = Field(description="In the order of the mask's bits")
    overlap: dict[str, Any] | None = Field(
        description="With the mask of the version before it; null: one of them has none"
    )
    mask: MaskShape | None
    report: dict[str, Any] | None = Field(
        description="{threshold, ties, subset_images, seconds, flops, details}; null: nothing was"
        " unlearned"
    )
    mask_url: str | None
    picture_url: str

    @classmethod
    def of(cls, version: Version, stream: Stream) -> UnlearningShape:
        record = version.unlearning or {}
        counted, reset = record.get("counted", 0), record.get("reset", 0)
        mask = MaskShape.of(version)
        url = f"/v1/streams/{stream.name}/versions/{version.version}/unlearning"
        shown_above = ("strategy", "counted", "reset", "layer_share", "layers", "overlap")
        return cls(
            version=version.version,
            stream=stream.name,
            parent=version.parent,
            strategy=record.get("strategy", version.strategy),
            counted=counted,
            reset=reset,
            kept=1 - reset / counted if counted else None,
            layers=_layers(record),
            overlap=record.get("overlap"),
            mask=mask,
            report={k: v for k, v in record.items() if k not in shown_above} if record else None,
            mask_url=None if mask is None else f"{url}/mask",
            picture_url=f"{url}.svg",
        )


def _layers(record: dict[str, Any]) -> list[LayerShape]:
    share: dict[str, float] = record.get("layer_share", {})
    sizes = {layer["name"]: layer["weights"] for layer in record.get("layers", ())}
    # before their order was kept: as names are counted, 2 before 10
    names = list(sizes) or sorted(share, key=_counted)
    return [LayerShape(name=n, weights=sizes.get(n), kept=1 - share[n]) for n in names]


def _counted(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
