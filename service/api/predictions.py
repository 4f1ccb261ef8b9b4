"""Predictions: out of memory alone once a stream's champion is in its slot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from service import payload
from service.batcher import Probabilities
from service.deps import SettingsDep, WatchDep
from service.errors import (
    EmptyBody,
    ModelAway,
    NothingServed,
    Overloaded,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)
from service.openapi import refusals
from service.params import StreamName
from service.schemas.common import spelled
from service.slot import Served
from store.errors import Conflict, NotFound

router = APIRouter(tags=["predictions"])

_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
_TEXTS = {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": {"type": "object", "properties": {"images": _FILES}}},
        "application/json": {
            "schema": {"type": "object", "required": ["images"], "properties": {"images": _TEXTS}}
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


async def _model(
    watch: WatchDep,
    stream: StreamName,
    version: Annotated[
        str | None,
        Query(
            pattern=r"^([0-9]{1,9}|@[a-z0-9][a-z0-9_-]{0,62})$",
            description="`3` or `@alias`; the champion unless said",
        ),
    ] = None,
    as_of: Annotated[
        AwareDatetime | None,
        Query(description="What the alias pointed at in that moment (RFC 3339), instead of now"),
    ] = None,
) -> Served:
    return await watch.library.find(stream, version, as_of=as_of)


async def _read(
    request: Request, watch: WatchDep, settings: SettingsDep
) -> AsyncIterator[list[bytes]]:
    """The encoded images; room for them is held until they are answered."""
    limit = settings.max_predict_bytes
    announced = payload.announced_bytes(request, limit)
    predictor = watch.predictor
    with predictor.hold(announced or 0) as grow:
        data = await payload.body(
            request,
            max_bytes=limit,
            timeout_s=settings.body_timeout_s,
            grow=grow if announced is None else None,
        )
        yield await payload.images(
            data, request, max_images=settings.max_predict_images, threads=predictor.threads
        )


TopK = Annotated[int, Query(ge=1, le=100, description="Labels for each image")]


@router.post(
    "/v1/streams/{stream}/predictions",
    dependencies=[Depends(payload.check_media_type)],
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
    ),
    openapi_extra={"requestBody": _BODY},
    summary="Predict the labels of images",
)
async def predict(
    watch: WatchDep,
    settings: SettingsDep,
    served: Annotated[Served, Depends(_model)],
    images: Annotated[list[bytes], Depends(_read)],
    *,
    top_k: TopK = 5,
) -> Response:
    """Multipart files, one raw image, or JSON with base64.

    All images are answered by one version, or none of them is.
    """
    predictor = watch.predictor
    max_pixels = settings.max_predict_pixels
    probabilities = await predictor.images(served, images, max_pixels=max_pixels)
    watch.counters.predicted(served.stream, served.version, len(images))
    ids = watch.recorder.note(served, images, probabilities)
    body = await predictor.threads.run(_told, served, probabilities, ids, top_k)
    headers = {
        "X-Model-Version": str(served.version),
        "X-Model-Digest": spelled(served.digest),
    }
    return Response(body, headers=headers, media_type="application/json")


def _told(served: Served, probabilities: Probabilities, ids: list[str], top_k: int) -> str:
    """The answer's JSON: many images with many labels take a while."""
    return Predictions(
        predictions=_ranked(probabilities, served.classes, ids, top_k),
        model_version=served.version,
        model_digest=spelled(served.digest),
    ).model_dump_json()


def _ranked(
    probabilities: Probabilities, classes: tuple[str, ...], ids: list[str], top_k: int
) -> list[Prediction]:
    ranked = []
    orders = (-probabilities).argsort(axis=1, kind="stable")
    for row, order, prediction_id in zip(probabilities, orders, ids, strict=True):
        scores = [Score(label=classes[k], probability=float(row[k])) for k in order[:top_k]]
        best = scores[0]
        ranked.append(
            Prediction(
                prediction_id=prediction_id,
                label=best.label,
                probability=best.probability,
                top_k=scores,
            )
        )
    return ranked
