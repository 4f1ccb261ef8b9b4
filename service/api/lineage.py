"""Which version came of which."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import JSONResponse, Response

from service import graph
from service.access.route import GuardedRoute
from service.deps import DatabaseDep
from service.negotiation import preferred
from service.openapi import refusals
from service.params import StreamName
from service.schemas.lineage import LineageShape
from store import lineage, streams
from store.errors import NotFound

router = APIRouter(
    prefix="/v1/streams/{stream}/lineage",
    tags=["versions"],
    route_class=GuardedRoute,
)

_TEXT = {"schema": {"type": "string"}}
_FORMATS = {"json": "application/json", "mermaid": graph.MERMAID, "dot": graph.DOT}

Format = Annotated[
    Literal["json", "mermaid", "dot"] | None, Query(description="Instead of what `Accept` asks for")
]
Limit = Annotated[int, Query(ge=1, le=2000, description="Show so many of the newest versions")]


@router.get(
    "",
    response_model=LineageShape,
    responses=refusals(
        NotFound,
        _200={"description": "The graph", "content": {graph.MERMAID: _TEXT, graph.DOT: _TEXT}},
    ),
    summary="The versions as a graph: from each to those that came of it",
)
def get_lineage(
    stream: StreamName,
    database: DatabaseDep,
    format: Format = None,
    accept: Annotated[str | None, Header()] = None,
    limit: Limit = 200,
) -> Response:
    """As JSON, or by `Accept` or `format` as text for Mermaid or Graphviz."""
    with database.begin() as session:
        row = streams.get(session, stream)
        nodes = lineage.newest(session, row, limit=limit)
    shape = LineageShape.of(row, nodes)
    kind = _FORMATS[format] if format else preferred(accept, list(_FORMATS.values()))
    headers = {"vary": "Accept"}
    if kind == graph.MERMAID:
        return Response(graph.mermaid(shape), media_type=kind, headers=headers)
    if kind == graph.DOT:
        return Response(graph.dot(shape), media_type=kind, headers=headers)
    return JSONResponse(shape.model_dump(mode="json"), headers=headers)
