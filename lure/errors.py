"""What can go wrong on a person's side of the service.

LureError                the service answered with a problem, or could not be asked
└── Unreachable          no answer at all: nothing listens there, or it went away
EmbeddedError            the embedded stack cannot start or go on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class LureError(Exception):
    """A refusal of the service, as its RFC 9457 problem told it.

    Attributes:
        title: what went wrong, in a few words.
        detail: what is known about this case; may be empty.
        status: the HTTP status; 0 where there was no answer.
        errors: one entry per faulty member, `{"pointer", "detail"}`.
    """

    def __init__(
        self,
        title: str,
        *,
        detail: str = "",
        status: int = 0,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.title = title
        self.detail = detail
        self.status = status
        self.errors = tuple(errors)
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.title}: {self.detail}" if self.detail else self.title
        for error in self.errors:
            words = ": ".join(filter(None, (error.get("pointer"), error.get("detail"))))
            if words != self.detail:  # which tells a single fault in full
                text += f"\n  {words}"
        return text


class Unreachable(LureError):
    """The service gave no answer."""


class EmbeddedError(Exception):
    """The embedded stack cannot do what was asked; the message says what would help."""
