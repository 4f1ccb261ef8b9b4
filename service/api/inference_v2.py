"""Inference by the Open Inference Protocol v2; `service.oip` reads and writes its tensors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request, Response

from service import payload
from service.aside import aside
from service.batcher import Probabilities
from service.deadline import DeadlineRoute, shorten
from service.errors import (
    EmptyBody,
    Invalid,
    ModelAway,
    NothingServed,
    Overloaded,
    TooLarge,
    TooLate,
    TooSlow,
    UnsupportedMediaType,
)
from service.headers import SIGNATURE, TIMEOUT, read, sent
from service.oip.answer import Answer, answer_of
from service.oip.images import Pixels, images_of, weight_bytes
from service.oip.packing import PLAIN, packing_of, unpack
from service.oip.request import header_bytes, parse
from service.oip.statistics import Spans, Statistics
from service.openapi import refusals
from service.params import StreamName, VersionOrAlias
from service.schemas.common import spelled
from service.schemas.inference import BINARY, BODY, JSON_LENGTH, InferAnswer
from service.settings import ServiceSettings
from service.slot import Served
from service.watch import Watch
from store.errors import Conflict, NotFound

router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=DeadlineRoute)

_ROUTE: dict[str, Any] = {
    "response_model": InferAnswer,
    "openapi_extra": {
        "parameters": read(TIMEOUT, JSON_LENGTH, "Content-Encoding"),
        "requestBody": BODY,
    },
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
        TooLate,
        _200={
            "description": "The outputs; as bytes where one of them is asked for so",
            "content": {"application/octet-stream": {"schema": BINARY}},
            **sent(*SIGNATURE, JSON_LENGTH),
        },
    ),
}


@router.post("/models/{model}/infer", **_ROUTE, summary="Ask the champion")
async def infer(request: Request, model: StreamName) -> Response:
    return await _answer(request, model, None)


@router.post(
    "/models/{model}/versions/{version}/infer", **_ROUTE, summary="Ask a version, or an `@alias`"
)
async def infer_by_version(
    request: Request, model: StreamName, version: VersionOrAlias
) -> Response:
    return await _answer(request, model, version)


async def _answer(request: Request, model: str, version: str | None) -> Response:
    # taken by hand: to have them injected costs more than to read a small tensor
    watch: Watch = request.app.state.watch
    statistics: Statistics = request.app.state.statistics
    served = await watch.library.find(model, version)
    async with _held(request, watch) as body:
        began = time.perf_counter_ns()
        try:
            answer, images, spans = await _inferred(request, served, body)
        except Exception:
            statistics.failed(served, time.perf_counter_ns() - began)
            raise
    statistics.succeeded(served, images, spans)
    watch.counters.predicted(served.stream, served.version, images)
    headers = {"X-Model-Version": str(served.version), "X-Model-Digest": spelled(served.digest)}
    if answer.json_bytes is None:
        return Response(answer.body, headers=headers, media_type="application/json")
    headers[JSON_LENGTH] = str(answer.json_bytes)
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


@asynccontextmanager
async def _held(request: Request, watch: Watch) -> AsyncIterator[bytes]:
    """The whole body, unpacked, and room for it until the block ends."""
    settings: ServiceSettings = request.app.state.settings
    predictor = watch.predictor
    packing = packing_of(request.headers.get("content-encoding"))
    async with payload.held(request, predictor, settings) as body:
        if packing == PLAIN:
            yield body
            return
        limit = settings.max_predict_bytes
        body = await predictor.threads.run(unpack, body, packing, limit)
        with predictor.hold(len(body)):
            yield body


async def _inferred(request: Request, served: Served, body: bytes) -> tuple[Answer, int, Spans]:
    """The answer, how many images it is for, and what took how long."""
    watch: Watch = request.app.state.watch
    settings: ServiceSettings = request.app.state.settings
    threads = watch.predictor.threads
    began = time.perf_counter_ns()
    json_bytes = header_bytes(request.headers.get(JSON_LENGTH), body)
    inference = await aside(threads, json_bytes, parse, body, json_bytes)
    if inference.timeout_s is not None:
        shorten(request, inference.timeout_s)
    tensor, most = inference.tensor, settings.max_predict_images
    images = await aside(threads, weight_bytes(tensor), images_of, tensor, served.input, most)
    taken = time.perf_counter_ns()
    probabilities = await _probabilities(watch, served, images, settings.max_predict_pixels)
    computed = time.perf_counter_ns()
    size = probabilities.nbytes
    answer = await aside(threads, size, answer_of, served, inference, probabilities)
    spans = Spans(taken - began, computed - taken, time.perf_counter_ns() - computed)
    return answer, len(images), spans


async def _probabilities(
    watch: Watch, served: Served, images: Pixels | list[bytes], max_pixels: int
) -> Probabilities:
    if not isinstance(images, list):
        return await watch.predictor.pixels(served, images)
    try:
        return await watch.predictor.images(served, images, max_pixels=max_pixels)
    except Invalid as error:
        raise error.moved("/images", "/inputs/0/data") from error
