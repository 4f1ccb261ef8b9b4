"""Labels that come after the prediction, and what became of each."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_LABELS = 1000


class Outcome(StrEnum):
    """What became of a label."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why a label was refused."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    OTHER_STREAM = "other_stream"
    BAD_LABEL = "bad_label"
    NOT_IN_CLASSES = "not_in_classes"
    IN_CHUNK = "in_chunk"


class LabelWish(BaseModel):
    """What a prediction should have been."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"prediction_id": "prd_6a37d2c03f9c2b71d04e8a6655aa007", "label": "7"}]
        },
    )

    prediction_id: Annotated[str, Field(max_length=100)]
    label: Annotated[str, Field(max_length=1000, description="The true class")]


LabelWishes = Annotated[list[LabelWish], Field(min_length=1, max_length=MAX_LABELS)]


class LabelShape(BaseModel):
    """What became of one label."""

    prediction_id: str
    outcome: Outcome = Field(
        description="accepted: it is new; duplicate: the same was known; corrected: another was"
        " known, and its image had joined no chunk; refused: see `reason`"
    )
    reason: Reason | None = Field(
        None,
        description="Why it was refused. unknown: no record of that prediction; expired: its record"
        " is gone; not_yet: it may not be written yet, try again; other_stream: it was made by"
        " another stream; bad_label: no class may be called that; not_in_classes: the class list is"
        " fixed; in_chunk: its image was handed on with another label",
    )
    detail: str | None = None


class FeedbackShape(BaseModel):
    """What became of the labels, in their order."""

    accepted: int
    duplicate: int
    corrected: int
    refused: int
    items: list[LabelShape]

    @classmethod
    def of(cls, items: list[LabelShape]) -> FeedbackShape:
        counts = Counter(item.outcome for item in items)
        return cls(items=items, **{str(outcome): counts[outcome] for outcome in Outcome})
