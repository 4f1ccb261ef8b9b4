"""What the Open Inference Protocol tells of the server and its models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int] = Field(description="-1: any number")


class ModelMetadata(BaseModel):
    """A model as one of its versions is asked."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata] = Field(description="One of them is sent")
    outputs: list[TensorMetadata]
    parameters: dict[str, Any] = Field(description="`classes`: in the order of the probabilities")


class Duration(BaseModel):
    count: int
    ns: int


class VersionStatistics(BaseModel):
    """What this process has inferred by one version."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970")
    inference_count: int = Field(description="Images")
    execution_count: int
    inference_stats: dict[str, Duration]
    batch_stats: list[Any]


class ModelStatistics(BaseModel):
    model_stats: list[VersionStatistics]


class ServerLive(BaseModel):
    live: bool = True


class ServerReady(ServerLive):
    ready: bool


class ModelReady(BaseModel):
    name: str
    ready: bool


class Models(BaseModel):
    models: list[str]


class IndexWish(BaseModel):
    """`ready`: only what can be asked."""

    ready: bool = False


class IndexEntry(BaseModel):
    name: str
    version: str
    state: str = Field(description="`READY` or `UNAVAILABLE`")
    reason: str
