"""The service's JSON answers, as far as this package reads them; each may hold more."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Stream(TypedDict):
    name: str
    classes: list[str] | None
    open_classes: bool
    input: dict[str, int] | None
    architecture: str
    recipe: dict[str, Any]
    policies: dict[str, Any]
    champion: int | None
    replicas: dict[str, int | None]
    created_at: str


class Chunk(TypedDict):
    id: str
    stream: str
    position: int
    state: str
    images: int | None
    refused: int | None
    bytes: int
    digest: str
    duplicate: NotRequired[bool]
    prequential_accuracy: float | None
    cycle: str | None
    version: int | None
    error: str | None
    received_at: str
    admitted_at: str | None
    learned_at: str | None
    served_at: str | None


class Cycle(TypedDict):
    id: str
    stream: str
    chunks: list[str]
    state: str
    stage: str | None
    progress: dict[str, Any] | None
    attempt: int
    strategy: str | None
    verdict: dict[str, Any] | None
    version: int | None
    timings: dict[str, float]
    error: Any


class Version(TypedDict):
    version: int
    stream: str
    parent: int | None
    chunks: list[str]
    classes: list[str]
    replayed: dict[str, Any] | None
    metrics: dict[str, Any]
    strategy: str | None
    state: str
    aliases: list[str]
    environment: dict[str, Any]
    digest: str
    bytes: int
    created_at: str


class Alias(TypedDict):
    alias: str
    stream: str
    version: int | None
    hold: bool
    updated_at: str


class Label(TypedDict):
    label: str
    probability: float


class Prediction(TypedDict):
    prediction_id: str
    label: str
    probability: float
    top_k: list[Label]


class Predictions(TypedDict):
    predictions: list[Prediction]
    model_version: int
    model_digest: str


class LabelOutcome(TypedDict):
    prediction_id: str
    outcome: str
    reason: str | None
    detail: str | None


class Rerun(TypedDict):
    id: str
    stream: str
    version: int
    method: str
    reason: str
    state: str
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None


class Page(TypedDict):
    items: list[Any]
    next_page_token: str | None
