"""A stream's figures over all its versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service import worth
from service.access.route import GuardedRoute
from service.deps import DatabaseDep
from service.openapi import refusals
from service.params import StreamName
from service.schemas.metrics import (
    ComparisonShape,
    CounterfactualShape,
    JudgementShape,
    LiveShape,
    MetricsShape,
    PointShape,
)
from store import counterfactuals, curves, feedback, streams
from store.errors import NotFound

router = APIRouter(
    prefix="/v1/streams/{stream}/metrics",
    tags=["streams"],
    route_class=GuardedRoute,
)

Limit = Annotated[int, Query(ge=1, le=1000, description="Show so many of the newest versions")]


@router.get(
    "",
    responses=refusals(NotFound),
    summary="Accuracy after every chunk, its cost, live accuracy, and whether unlearning paid",
)
def get_stream_metrics(
    stream: StreamName, database: DatabaseDep, limit: Limit = 100
) -> MetricsShape:
    """Sums and judgements are over all versions, however few are shown."""
    with database.begin() as session:
        row = streams.get(session, stream)
        points = curves.newest(session, row, limit=limit)
        live = feedback.live_accuracy(session, row)
        compared = counterfactuals.comparisons(session, row)
    return MetricsShape(
        stream=stream,
        versions=row.next_version - 1,
        curve=[PointShape.of(point) for point in points],
        live=[LiveShape.of(version, *live[version]) for version in sorted(live)[-limit:]],
        counterfactual=CounterfactualShape(
            judgements=[JudgementShape.of(one) for one in worth.judge(compared)],
            comparisons=[ComparisonShape.of(one) for one in compared[-limit:]],
        ),
    )
