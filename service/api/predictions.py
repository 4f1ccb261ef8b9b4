"""Predictions: out of memory alone once a stream's champion is in its slot."""

from __future__ import annotations

import heapq
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from service import payload
from service.aside import aside
from service.batcher import Probabilities
from service.deadline import DeadlineRoute
from service.errors import (
    EmptyBody,
    ModelAway,
    NothingServed,
    Overloaded,
    TooLarge,
    TooLate,
    TooSlow,
    UnsupportedMediaType,
)
from service.headers import SIGNATURE, TIMEOUT, read, sent
from service.openapi import refusals
from service.params import POINTED, StreamName
from service.schemas.common import spelled
from service.settings import ServiceSettings
from service.slot import Served
from service.watch import Watch
from store.errors import Conflict, NotFound

router = APIRouter(tags=["predictions"], route_class=DeadlineRoute)

_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
_TEXTS = {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": {"type": "object", "properties": {"images": _FILES}}},
        "application/json": {
            "schema": {"type": "object", "required": ["images"], "properties": {"images": _TEXTS}},
            "example": {"images": ["iVBORw0KGgoAAAANSUhEUg…"]},
        },
    }
    | {kind: {"schema": {"type": "string", "format": "binary"}} for kind in payload.RAW},
}


class Score(BaseModel):
    """A label and how sure the model is of it."""

    label: str
    probability: float = Field(ge=0, le=1)


class Prediction(Score):
    """The answer to one image; `top_k` begins with the label itself."""

    prediction_id: str = Field(examples=["prd_6a37d2c03f9c2b71d04e8a6655aa007"])
    top_k: list[Score]


class Predictions(BaseModel):
    """The answers, in the order of the images, and the version that computed them."""

    predictions: list[Prediction]
    model_version: int
    model_digest: str = Field(description="sha256 of its weights", examples=["sha256:9f86d0…"])


Wanted = Annotated[
    str | None,
    Query(pattern=POINTED, description="`3` or `@alias`; the champion unless said"),
]
AsOf = Annotated[
    AwareDatetime | None,
    Query(description="What the alias pointed at in that moment (RFC 3339), instead of now"),
]
TopK = Annotated[int, Query(ge=1, le=100, description="Labels for each image")]


@router.post(
    "/v1/streams/{stream}/predictions",
    response_model=Predictions,
    responses=refusals(
        NotFound,
        NothingServed,
        Conflict,
        TooSlow,
        TooLarge,
        UnsupportedMediaType,
        EmptyBody,
        Overloaded,
        ModelAway,
        TooLate,
        _200={"description": "The answers", **sent(*SIGNATURE)},
    ),
    openapi_extra={"parameters": read(TIMEOUT), "requestBody": _BODY},
    summary="Predict the labels of images",
)
async def predict(
    request: Request,
    stream: StreamName,
    *,
    version: Wanted = None,
    as_of: AsOf = None,
    top_k: TopK = 5,
) -> Response:
    """Multipart files, one raw image, or JSON with base64.

    All images are answered by one version, or none of them is. `X-Request-Timeout-Ms` says how
    long the client will wait; what is not answered by then is a 504, and no longer computed.
    """
    # taken by hand: to have them injected costs as much as the rest of this page
    settings: ServiceSettings = request.app.state.settings
    watch: Watch = request.app.state.watch
    predictor = watch.predictor
    payload.media_type(request)  # judged before anything else
    served = await watch.library.find(stream, version, as_of=as_of)
    async with payload.held(request, predictor, settings) as data:
        images = await payload.images(
            data, request, max_images=settings.max_predict_images, threads=predictor.threads
        )
        probabilities = await predictor.images(
            served, images, max_pixels=settings.max_predict_pixels
        )
    watch.counters.predicted(served.stream, served.version, len(images))
    ids = watch.recorder.note(served, images, probabilities)
    told = await aside(
        predictor.threads, probabilities.nbytes, _told, served, probabilities, ids, top_k
    )
    headers = {
        "X-Model-Version": str(served.version),
        "X-Model-Digest": spelled(served.digest),
    }
    return Response(told, headers=headers, media_type="application/json")


def _told(served: Served, probabilities: Probabilities, ids: list[str], top_k: int) -> bytes:
    """The JSON of `Predictions`, written without it: validating our own answer tells nothing."""
    predictions = []
    for row, prediction_id in zip(probabilities.tolist(), ids, strict=True):
        best = heapq.nlargest(top_k, range(len(row)), key=row.__getitem__)
        scores = [{"label": served.classes[k], "probability": row[k]} for k in best]
        predictions.append({"prediction_id": prediction_id, **scores[0], "top_k": scores})
    answer = {
        "predictions": predictions,
        "model_version": served.version,
        "model_digest": spelled(served.digest),
    }
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
