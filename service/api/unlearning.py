"""What a version unlearned: its report, the mask's bits, and a picture."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header
from starlette.responses import JSONResponse, Response

from service import picture
from service.access.route import GuardedRoute
from service.deps import BlobsDep, DatabaseDep
from service.headers import sent
from service.negotiation import preferred
from service.openapi import refusals
from service.params import StreamName, VersionNumber
from service.preconditions import Preconditions, etag
from service.schemas.unlearning import UnlearningShape
from store import streams, versions
from store.engine import Database
from store.errors import NotFound
from store.models import Version

router = APIRouter(
    prefix="/v1/streams/{stream}/versions/{version}",
    tags=["versions"],
    route_class=GuardedRoute,
)

_JSON, _BYTES = "application/json", "application/octet-stream"
_SVG = {picture.MEDIA_TYPE: {"schema": {"type": "string"}}}
_BITS = {_BYTES: {"schema": {"type": "string", "format": "binary"}}}
_VARY = {"vary": "Accept"}

Accept = Annotated[str | None, Header(description="`image/svg+xml` for the picture")]


@router.get(
    "/unlearning",
    response_model=UnlearningShape,
    responses=refusals(NotFound, _200={"description": "The report", "content": _SVG}),
    summary="What was unlearned: how much of each layer was kept",
)
def get_unlearning(
    stream: StreamName, version: VersionNumber, database: DatabaseDep, accept: Accept = None
) -> Response:
    """Of a first version nothing: it has no layers and no mask."""
    shape = _read(database, stream, version)
    if preferred(accept, (_JSON, picture.MEDIA_TYPE)) == _JSON:
        return JSONResponse(shape.model_dump(mode="json"), headers=_VARY)
    return Response(_drawn(shape), media_type=picture.MEDIA_TYPE, headers=_VARY)


@router.get(
    "/unlearning.svg",
    response_class=Response,
    responses=refusals(NotFound, _200={"description": "The picture", "content": _SVG}),
    summary="The same as a picture: a bar for each layer",
)
def draw_unlearning(stream: StreamName, version: VersionNumber, database: DatabaseDep) -> Response:
    shape = _read(database, stream, version)
    return Response(_drawn(shape), media_type=picture.MEDIA_TYPE)


@router.get(
    "/unlearning/mask",
    response_class=Response,
    responses=refusals(
        NotFound,
        _200={"description": "The bits", "content": _BITS, **sent("ETag")},
        _304={"description": "Unchanged since If-None-Match", **sent("ETag")},
    ),
    summary="Which weights were reset: a bit each, eight to a byte, the first one highest",
)
def get_mask(
    stream: StreamName,
    version: VersionNumber,
    seen: Annotated[Preconditions, Depends()],
    database: DatabaseDep,
    blobs: BlobsDep,
) -> Response:
    """The bits lie in the order of the report's `layers`; those that fill the last byte are 0."""
    digest = _row(database, stream, version).mask_digest
    if digest is None:
        raise NotFound("mask of version", version)
    headers = {"etag": etag(digest), "cache-control": "private, max-age=31536000, immutable"}
    if seen.unchanged(digest):
        return Response(status_code=304, headers=headers)
    return Response(blobs.read(digest), media_type=_BYTES, headers=headers)


def _row(database: Database, stream: str, version: int) -> Version:
    with database.begin() as session:
        return versions.get(session, streams.get(session, stream), version)


def _read(database: Database, stream: str, version: int) -> UnlearningShape:
    with database.begin() as session:
        row = streams.get(session, stream)
        found = versions.get(session, row, version)
    return UnlearningShape.of(found, row)


def _drawn(shape: UnlearningShape) -> bytes:
    title = f"{shape.stream}, version {shape.version}: what was kept of each layer"
    if shape.kept is None:
        subtitle = "nothing: it was learned without unlearning"
    else:
        subtitle = (
            f"{shape.strategy} after version {shape.parent}: {shape.reset:,} of {shape.counted:,}"
            f" weights were reset, {shape.kept:.1%} were kept"
        )
    rows = [picture.Bar(layer.name, layer.kept) for layer in shape.layers]
    return picture.bars(title, subtitle, rows)
