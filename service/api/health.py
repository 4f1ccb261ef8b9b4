"""Whether the process lives, and whether it can answer."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from service.access.route import GuardedRoute
from service.deps import WatchDep
from service.openapi import unready

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Live(BaseModel):
    """The process runs."""

    live: Literal[True] = True


class Ready(BaseModel):
    """Whether predictions are answered, and what is away meanwhile."""

    ready: bool
    degraded: list[str] = Field(
        description="`database`, `redis`: away; `models`: a champion cannot be loaded",
        examples=[["redis"]],
    )


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def livez() -> Live:
    """Answers while the process runs."""
    return Live()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: unready(Ready(ready=False, degraded=["models"]))})
async def readyz(watch: WatchDep, response: Response) -> Ready:
    """Answers 200 once every champion was loaded, also while PostgreSQL or Redis is away."""
    if not watch.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return Ready(ready=watch.ready, degraded=watch.degraded)
