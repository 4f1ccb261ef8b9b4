"""Who asks for a change, and what they have seen of what is to be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from service.deps import PrincipalDep
from service.preconditions import Preconditions


@dataclass(frozen=True)
class Caller:
    """Both, as an endpoint takes them."""

    seen: Annotated[Preconditions, Depends()]
    principal: PrincipalDep

    @property
    def who(self) -> str:
        """What histories call them."""
        return self.principal.who


CallerDep = Annotated[Caller, Depends()]
