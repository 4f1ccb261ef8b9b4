"""Feedback: what predictions should have been."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Response

from service import labels
from service.bounded import JsonRoute
from service.deps import AnswersDep, DatabaseDep
from service.headers import sent
from service.openapi import JSON_BODY, refusals
from service.params import StreamName
from service.schemas.feedback import FeedbackShape, LabelWishes, Reason
from store.errors import Conflict, NotFound

router = APIRouter(prefix="/v1/streams/{stream}/feedback", tags=["feedback"], route_class=JsonRoute)

_AGAIN_S = 2  # after which another process has written what it predicted just now

log = structlog.get_logger(__name__)


@router.post(
    "",
    responses=refusals(
        NotFound,
        Conflict,
        *JSON_BODY,
        _200={
            "description": "What became of each label; with `Retry-After` where a record may not be"
            " written yet (`not_yet`)",
            **sent("Retry-After"),
        },
    ),
    summary="Say what predictions should have been",
)
def give_feedback(
    stream: StreamName,
    wishes: LabelWishes,
    answers: AnswersDep,
    database: DatabaseDep,
    response: Response,
) -> FeedbackShape:
    """Each label counts for the live accuracy of the version that predicted.

    The images join the stream's next feedback chunk, which closes by count or age. It may be sent
    again: a label that is known already is a duplicate, another one corrects it until its image has
    joined a chunk.
    """
    given = FeedbackShape.of(labels.give(database, answers, stream, wishes))
    if any(item.reason is Reason.NOT_YET for item in given.items):
        response.headers["retry-after"] = str(_AGAIN_S)
    log.info("feedback", stream=stream, accepted=given.accepted, refused=given.refused)
    return given
