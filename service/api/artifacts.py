"""A version as files: its weights, their sidecar, and an ONNX model that a worker makes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, JSONResponse, Response

from service import ranges, waiting
from service.access.route import GuardedRoute
from service.deps import BlobsDep, DatabaseDep, QueueDep
from service.errors import Gone, ModelAway, RangeNotSatisfiable
from service.headers import read, sent
from service.openapi import refusals
from service.params import StreamName, VersionNumber
from service.preconditions import Preconditions, etag
from service.schemas.artifacts import ONNX, SAFETENSORS, SIDECAR, ArtifactShape
from store import artifacts, streams, versions
from store.errors import BlobDamaged, BlobMissing, BlobsAway, Conflict, NotFound
from store.models import Artifact, Version
from store.states import ArtifactState, VersionState

router = APIRouter(
    prefix="/v1/streams/{stream}/versions/{version}/artifacts",
    tags=["artifacts"],
    route_class=GuardedRoute,
)

_RETRY_AFTER_S = 5  # an export takes ten seconds and more
_FILE = {"schema": {"type": "string", "format": "binary"}}
_DIGESTS = ("ETag", "Repr-Digest")
_BYTES = {
    "description": "The bytes",
    "content": {"application/octet-stream": _FILE},
    **sent(*_DIGESTS, "Content-Digest"),
}
_UNCHANGED = {"description": "Unchanged since If-None-Match", **sent("ETag")}
_PART = {
    "description": "The part that Range asks for",
    "content": {"application/octet-stream": _FILE, "multipart/byteranges": _FILE},
    **sent(*_DIGESTS, "Content-Range"),
}
_JSON = {"content": {"application/json": {"schema": {"type": "object"}}}}
_QUEUED = {
    "model": ArtifactShape,
    "description": "It is being made; ask again",
    **sent("Location", "Retry-After"),
}
_REFUSALS = (NotFound, Conflict, Gone, ModelAway, BlobsAway, RangeNotSatisfiable)
_ANSWERS = {"_206": _PART, "_304": _UNCHANGED}
_RANGE = {"parameters": read("Range", "If-Range")}


@dataclass(frozen=True)
class Shelf:
    """Where a version's files come from, and what the client has of them."""

    request: Request
    stream: StreamName
    version: VersionNumber
    database: DatabaseDep
    blobs: BlobsDep
    seen: Annotated[Preconditions, Depends()]

    def url(self, kind: str) -> str:
        return f"/v1/streams/{self.stream}/versions/{self.version}/artifacts/{kind}"

    def row(self) -> Version:
        with self.database.begin() as session:
            return versions.get(session, streams.get(session, self.stream), self.version)

    def file(self, digest: str, ending: str, **headers: str) -> Response:
        """The bytes under a digest, or as much of them as is wanted.

        Raises:
            ModelAway: They are not there.
            RangeNotSatisfiable: No part that is wanted is.
        """
        tag = etag(digest)
        if self.seen.unchanged(digest):
            return Response(status_code=304, headers={"etag": tag})
        try:
            path = self.blobs.local(digest)
        except (BlobMissing, BlobDamaged) as lost:
            raise ModelAway(f"the bytes under sha256:{digest} cannot be read now") from lost
        said = f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"
        headers |= {"etag": tag, "repr-digest": said}
        if not self._in_part(tag, path.stat().st_size):  # it is of what is sent, not of the whole
            headers["content-digest"] = said
        return FileResponse(
            path,
            filename=f"{self.stream}-{self.version}.{ending}",
            media_type="application/json" if ending == "json" else "application/octet-stream",
            headers=headers,
        )

    def _in_part(self, tag: str, size_bytes: int) -> bool:
        """Whether a part is wanted; what cannot be one is taken out before it is answered."""
        headers = MutableHeaders(scope=self.request.scope)
        wanted = headers.get("range")
        if wanted is not None and headers.get("if-range", tag) == tag:
            wanted = ranges.satisfiable(wanted, size_bytes)
            if wanted is not None:
                headers["range"] = wanted
                return True
        del headers["range"]
        return False


ShelfDep = Annotated[Shelf, Depends()]


@router.get("", responses=refusals(NotFound), summary="The formats of a version")
def list_artifacts(shelf: ShelfDep) -> list[ArtifactShape]:
    with shelf.database.begin() as session:
        stream = streams.get(session, shelf.stream)
        version = versions.get(session, stream, shelf.version)
        made = {one.kind: one for one in artifacts.of_version(session, stream, shelf.version)}
    exports = [
        ArtifactShape.of(made[kind], shelf.url(kind))
        if kind in made
        else ArtifactShape.absent(version, kind, shelf.url(kind))
        for kind in artifacts.KINDS
    ]
    return [
        ArtifactShape.of_weights(version, shelf.url(SAFETENSORS)),
        ArtifactShape.of_sidecar(version, shelf.url(SIDECAR)),
        *exports,
    ]


@router.head("/safetensors", include_in_schema=False)
@router.get(
    "/safetensors",
    response_class=FileResponse,
    responses=refusals(*_REFUSALS, _200=_BYTES, **_ANSWERS),
    openapi_extra=_RANGE,
    summary="The weights",
)
def get_weights(shelf: ShelfDep) -> Response:
    """With ETag, `Repr-Digest` and ranges; the sidecar says what they are the weights of."""
    version = shelf.row()
    _check(version)
    link = f'<{shelf.url(SIDECAR)}>; rel="describedby"'
    return shelf.file(version.digest, "safetensors", link=link)


@router.head("/sidecar", include_in_schema=False)
@router.get(
    "/sidecar",
    response_class=FileResponse,
    responses=refusals(
        NotFound,
        ModelAway,
        RangeNotSatisfiable,
        _200=_BYTES | _JSON,
        _206=_PART | _JSON,
        _304=_UNCHANGED,
    ),
    openapi_extra=_RANGE,
    summary="Architecture, classes, input and normalisation",
)
def get_sidecar(shelf: ShelfDep) -> Response:
    """It stays when the weights are deleted."""
    return shelf.file(shelf.row().sidecar_digest, "json")


@router.head("/onnx", include_in_schema=False)
@router.get(
    "/onnx",
    response_class=FileResponse,
    responses=refusals(*_REFUSALS, _200=_BYTES, _202=_QUEUED, **_ANSWERS),
    openapi_extra=_RANGE,
    summary="The version as an ONNX model",
)
async def get_onnx(
    shelf: ShelfDep,
    queue: QueueDep,
    prefer: Annotated[str | None, Header(description="`wait=N`: for it, N ≤ 60 s")] = None,
) -> Response:
    """Made when first asked for, and given out only if it agrees with the version.

    It takes raw pixels (uint8 [N,C,H,W]) and gives probabilities: normalisation and softmax are
    inside. Refused (409) if it could not be made, or agrees on less than 99 % of the images that it
    is compared on; `POST …/onnx:retry` has it made again.
    """
    artifact, known = await run_in_threadpool(_ask, shelf)
    if not known:
        await run_in_threadpool(queue.export, artifact.stream_id, shelf.version, ONNX)
    seconds = waiting.seconds_of(prefer)
    if seconds is not None:
        artifact = (
            await waiting.settled(partial(_read, shelf), _is_over, seconds=seconds) or artifact
        )
    return await run_in_threadpool(_told, shelf, artifact)


@router.post(
    "/onnx:retry",
    status_code=202,
    response_model=ArtifactShape,
    responses=refusals(NotFound, Conflict, _202=_QUEUED),
    summary="Make a failed ONNX model again",
)
def retry_onnx(shelf: ShelfDep, queue: QueueDep) -> JSONResponse:
    with shelf.database.begin() as session:
        stream = streams.get(session, shelf.stream)
        artifact = artifacts.retry(session, stream, shelf.version, ONNX)
    queue.export(stream.id, shelf.version, ONNX)
    return _queued(shelf, artifact)


def _ask(shelf: Shelf) -> tuple[Artifact, bool]:
    with shelf.database.begin() as session:
        stream = streams.get(session, shelf.stream)
        _check(versions.get(session, stream, shelf.version))
        return artifacts.ask(session, stream, shelf.version, ONNX)


def _read(shelf: Shelf) -> Artifact:
    with shelf.database.begin() as session:
        stream = streams.get(session, shelf.stream)
        found = artifacts.get(session, stream, shelf.version, ONNX)
    if found is None:
        raise Gone(f"the weights of version {shelf.version} were deleted meanwhile")
    return found


def _is_over(artifact: Artifact) -> bool:
    return artifact.state is not ArtifactState.QUEUED


def _told(shelf: Shelf, artifact: Artifact) -> Response:
    if artifact.state is ArtifactState.FAILED:
        words = f"version {shelf.version} has no ONNX model: {artifact.error}"
        raise Conflict(f"{words}; POST {shelf.url(ONNX)}:retry has it made again")
    if artifact.state is ArtifactState.QUEUED:
        return _queued(shelf, artifact)
    assert artifact.digest is not None, "an artifact that is ready has bytes"
    return shelf.file(artifact.digest, "onnx")


def _queued(shelf: Shelf, artifact: Artifact) -> JSONResponse:
    url = shelf.url(artifact.kind)
    headers = {"location": url, "retry-after": str(_RETRY_AFTER_S)}
    body = ArtifactShape.of(artifact, url).model_dump(mode="json")
    return JSONResponse(body, 202, headers)


def _check(version: Version) -> None:
    """Refuse where the weights are gone, or may not be used."""
    if version.state is VersionState.WEIGHTS_DELETED:
        raise Gone(f"the weights of version {version.version} were deleted; its record stays")
    if version.state is not VersionState.READY:
        raise Conflict(f"version {version.version} is {version.state} and is not given out")
