"""Artifacts: a version in the formats that it can be had in."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, Field

from service.schemas.common import spelled
from store import artifacts
from store.models import Artifact, Version
from store.states import VersionState

SAFETENSORS, SIDECAR, ONNX = "safetensors", "sidecar", artifacts.ONNX


class ArtifactShape(BaseModel):
    """A version in one format."""

    kind: str = Field(
        description="`safetensors`: the weights; `sidecar`: JSON with architecture, classes, input"
        " and normalisation, without which they mean nothing; `onnx`: uint8 images [N,C,H,W] in,"
        " probabilities [N,K] out, the class list in its metadata"
    )
    state: Literal["absent", "queued", "ready", "failed", "deleted"] = Field(
        description="`absent`: made when it is first asked for"
    )
    url: str
    digest: str | None = None
    bytes: int | None = None
    report: dict[str, Any] | None = Field(
        None,
        description="`agreement` with the version (share of images with the same best class),"
        " `images` compared, `judge` of them never learned from, `max_abs_difference`, `opset`",
    )
    error: str | None = None
    made_at: dt.datetime | None = None

    @classmethod
    def of(cls, artifact: Artifact, url: str) -> ArtifactShape:
        """Something that was asked for."""
        return cls(
            kind=artifact.kind,
            state=artifact.state.value,
            url=url,
            digest=None if artifact.digest is None else spelled(artifact.digest),
            bytes=artifact.size_bytes,
            report=artifact.report,
            error=artifact.error,
            made_at=artifact.made_at,
        )

    @classmethod
    def of_weights(cls, version: Version, url: str) -> ArtifactShape:
        return cls(
            kind=SAFETENSORS,
            state="deleted" if version.state is VersionState.WEIGHTS_DELETED else "ready",
            url=url,
            digest=spelled(version.digest),
            bytes=version.size_bytes,
            made_at=version.created_at,
        )

    @classmethod
    def of_sidecar(cls, version: Version, url: str) -> ArtifactShape:
        digest = spelled(version.sidecar_digest)
        return cls(kind=SIDECAR, state="ready", url=url, digest=digest, made_at=version.created_at)

    @classmethod
    def absent(cls, version: Version, kind: str, url: str) -> ArtifactShape:
        """Something that nobody has asked for."""
        gone = version.state is VersionState.WEIGHTS_DELETED
        return cls(kind=kind, state="deleted" if gone else "absent", url=url)
