"""Streams as they are asked for and shown."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lure_core.policies import POLICIES
from lure_core.presets import PRESETS
from service.params import NAME
from store.models import Stream

_DEPTH = 6  # no setting is deeper; what is, was made to exhaust whoever walks it


def _shallow(value: Any, left: int = _DEPTH) -> Any:
    if left == 0:
        raise ValueError("is nested too deeply")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _shallow(one, left - 1)
    return value


Loose = Annotated[Any, AfterValidator(_shallow)]  # checked by service.blueprint, with better words


class NewStream(BaseModel):
    """`{"name": "x"}` is enough: everything else has a default."""

    model_config = ConfigDict(
        extra="allow",  # so that an unknown member is refused by its near match
        json_schema_extra={
            "examples": [
                {"name": "digits"},
                {"name": "cifar", "architecture": "resnet20s", "recipe": {"epochs": 10}},
                {"name": "birds", "classes": "open", "recipe": "frugal"},
                {
                    "name": "faces",
                    "recipe": {"name": "frugal", "batch_size": 128},
                    "policies": {
                        "replay": {"kind": "buffer", "capacity": 20_000},
                        "unlearn": {"strategy": "shrink-perturb", "preset": "dash"},
                    },
                },
            ]
        },
    )

    name: str = Field(pattern=NAME, description="The name in every path of this stream")
    classes: Loose = Field(
        None,
        description='List of class names; null: the first chunk fixes it; "open": it grows, at its'
        " end, with each label never seen before, up to 10,000",
    )
    input: Loose = Field(
        None, description="{channels, height, width}; null: the first chunk fixes it"
    )
    architecture: Loose = Field(
        "resnet18",
        description="Such as resnet18, resnet20s, vgg16_bn; torchvision's classification models by"
        " their names; package.module:factory where the operator allows it",
    )
    recipe: Loose = Field(
        None,
        description="How a model is trained; each member has a default. Or the name of a recipe:"
        f" {', '.join(PRESETS)}; as the member `name` it can be overruled by others, where `epochs`"
        " is the full number of which the recipe takes its share",
    )
    policies: Loose = Field(None, description=f"{{{', '.join(POLICIES)}}}; each has a default")


class StreamPatch(BaseModel):
    """A JSON merge patch; what it does not name stays as it is."""

    model_config = ConfigDict(
        extra="allow",  # so that a member that is unknown, or fixed, is refused in better words
        json_schema_extra={
            "examples": [
                {"policies": {"gate": {"mode": "manual"}}},
                {"policies": {"feedback": {"enabled": False}, "counterfactual": {"every": 5}}},
                {"recipe": {"epochs": 30}},
            ]
        },
    )

    recipe: Loose = Field(None, description="Members to change; or the name of a recipe; or null")
    policies: Loose = Field(
        None,
        description="Members to change, by policy; null goes back to the default, or is null where"
        " that is a value, as in gate.per_class",
    )


class StreamShape(BaseModel):
    """One learning problem."""

    name: str
    classes: list[str] | None = Field(description="In the order of the head; null: none known yet")
    open_classes: bool = Field(
        description="Whether new labels join the list, at its end, with the cycle that learns them"
    )
    input: dict[str, int] | None = Field(description="{channels, height, width}")
    architecture: str
    recipe: dict[str, Any]
    policies: dict[str, Any]
    champion: int | None = Field(description="The version that is served by default")
    replicas: dict[str, int | None] = Field(
        description="The version that each live replica serves; null: none yet"
    )
    created_at: dt.datetime

    @classmethod
    def of(
        cls, stream: Stream, champion: int | None, replicas: dict[str, int | None]
    ) -> StreamShape:
        """The row with the version that its champion points at, and who serves what."""
        return cls(
            name=stream.name,
            classes=stream.classes,
            open_classes=stream.open_classes,
            input=stream.input,
            architecture=stream.architecture,
            recipe=stream.recipe,
            policies=stream.policies,
            champion=champion,
            replicas=replicas,
            created_at=stream.created_at,
        )
