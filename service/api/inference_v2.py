"""Inference by the Open Inference Protocol v2; `service.oip` reads and writes its tensors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from service import payload
from service.api.models_v2 import VersionOrAlias
from service.aside import aside
from service.batcher import Probabilities
from service.deps import SettingsDep, StatisticsDep, WatchDep
from service.errors import (
    EmptyBody,
    Invalid,
    ModelAway,
    NothingServed,
    Overloaded,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)
from service.oip.answer import Answer, answer_of
from service.oip.images import Pixels, images_of, weight_bytes
from service.oip.packing import PLAIN, packing_of, unpack
from service.oip.request import header_bytes, parse
from service.oip.statistics import Spans
from service.openapi import refusals
from service.params import StreamName
from service.schemas.common import spelled
from service.slot import Served
from store.errors import Conflict, NotFound

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_JSON_LENGTH = "Inference-Header-Content-Length"
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "datatype": {"enum": ["UINT8", "FP32", "BYTES"]},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "JSON; or JSON and behind it binary tensors, its length in the header"
    f" `{_JSON_LENGTH}`. `Content-Encoding` may be gzip or deflate.",
    "content": {
        "application/json": {
            "schema": _REQUEST,
            "example": {
                "id": "42",
                "inputs": [
                    {"name": "images", "shape": [1, 1, 2, 2], "datatype": "UINT8",
                     "data": [0, 17, 255, 3]}
                ],
                "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}],
            },
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}  # fmt: skip


class InferAnswer(BaseModel):
    """`outputs` hold `data`, or `parameters.binary_data_size` of the bytes behind the JSON."""

    model_name: str
    model_version: str
    id: str = Field("", description="As the request had it; left out if it had none")
    parameters: dict[str, Any]
    outputs: list[dict[str, Any]]


async def _held(request: Request, watch: WatchDep, settings: SettingsDep) -> AsyncIterator[bytes]:
    """The whole body, unpacked; room for it is held until it is answered."""
    limit = settings.max_predict_bytes
    announced = payload.announced_bytes(request, limit)
    packing = packing_of(request.headers.get("content-encoding"))
    with watch.predictor.hold(announced or 0) as grow:
        data = await payload.body(
            request,
            max_bytes=limit,
            timeout_s=settings.body_timeout_s,
            grow=grow if announced is None else None,
        )
        if packing != PLAIN:
            data = await watch.predictor.threads.run(unpack, data, packing, limit)
            grow(len(data))
        yield data


@dataclass(frozen=True)
class Inquiry:
    """A request's body, and what it is answered with."""

    body: Annotated[bytes, Depends(_held)]
    watch: WatchDep
    settings: SettingsDep
    statistics: StatisticsDep
    json_length: Annotated[str | None, Header(alias=_JSON_LENGTH)] = None


async def _champion(watch: WatchDep, model: StreamName) -> Served:
    return await watch.library.find(model, None)


async def _version(watch: WatchDep, model: StreamName, version: VersionOrAlias) -> Served:
    return await watch.library.find(model, version)


_ROUTE: dict[str, Any] = {
    "response_model": InferAnswer,
    "openapi_extra": {"requestBody": _BODY},
    "responses": refusals(
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
}


@router.post("/models/{model}/infer", **_ROUTE, summary="Ask the champion")
async def infer(
    served: Annotated[Served, Depends(_champion)], inquiry: Annotated[Inquiry, Depends()]
) -> Response:
    return await _answer(inquiry, served)


@router.post(
    "/models/{model}/versions/{version}/infer", **_ROUTE, summary="Ask a version, or an `@alias`"
)
async def infer_by_version(
    served: Annotated[Served, Depends(_version)], inquiry: Annotated[Inquiry, Depends()]
) -> Response:
    return await _answer(inquiry, served)


async def _answer(inquiry: Inquiry, served: Served) -> Response:
    began = time.perf_counter_ns()
    try:
        answer, images, spans = await _inferred(inquiry, served)
    except Exception:
        inquiry.statistics.failed(served, time.perf_counter_ns() - began)
        raise
    inquiry.statistics.succeeded(served, images, spans)
    inquiry.watch.counters.predicted(served.stream, served.version, images)
    headers = {"X-Model-Version": str(served.version), "X-Model-Digest": spelled(served.digest)}
    if answer.json_bytes is None:
        return Response(answer.body, headers=headers, media_type="application/json")
    headers[_JSON_LENGTH] = str(answer.json_bytes)
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


async def _inferred(inquiry: Inquiry, served: Served) -> tuple[Answer, int, Spans]:
    """The answer, how many images it is for, and what took how long."""
    threads = inquiry.watch.predictor.threads
    began = time.perf_counter_ns()
    json_bytes = header_bytes(inquiry.json_length, inquiry.body)
    inference = await aside(threads, json_bytes, parse, inquiry.body, json_bytes)
    tensor = inference.tensor
    limit = inquiry.settings.max_predict_images
    images = await aside(threads, weight_bytes(tensor), images_of, tensor, served.input, limit)
    taken = time.perf_counter_ns()
    probabilities = await _probabilities(inquiry, served, images)
    computed = time.perf_counter_ns()
    size = probabilities.nbytes
    answer = await aside(threads, size, answer_of, served, inference, probabilities)
    spans = Spans(taken - began, computed - taken, time.perf_counter_ns() - computed)
    return answer, len(images), spans


async def _probabilities(
    inquiry: Inquiry, served: Served, images: Pixels | list[bytes]
) -> Probabilities:
    predictor = inquiry.watch.predictor
    if not isinstance(images, list):
        return await predictor.pixels(served, images)
    try:
        return await predictor.images(
            served, images, max_pixels=inquiry.settings.max_predict_pixels
        )
    except Invalid as error:  # it counts the images; the client sent a tensor
        places = [fault.pointer.replace("/images", "/inputs/0/data", 1) for fault in error.faults]
        faults = [replace(f, pointer=at) for f, at in zip(error.faults, places, strict=True)]
        raise Invalid(str(error), faults) from error
