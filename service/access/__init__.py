"""Who may do what: API keys, the scope that each operation needs, and the gate before it.

needs.py      ONE page: which operation needs which scope
keyring.py    the keys in memory
gate.py       who asks, and whether they may
route.py      puts the gate before the first byte of a body
journal.py    the audit log as it is written
keeper.py     keeps keyring and journal in step with the database
"""

from __future__ import annotations

from dataclasses import dataclass

PRINCIPAL = "lure.principal"  # in a request's scope
REFUSED = "lure.refused"  # there too: the gate has told of it, as often as is good
_UNNAMED = "api"  # in histories, where nobody is named


@dataclass(frozen=True)
class Principal:
    """Who acts.

    Attributes:
        key_id: Of the key that was shown; None: none was needed.
        name: The key's.
        scopes: What it may do; `admin` is everything.
        stream: The only stream that it may touch; None: all.
    """

    key_id: str | None
    name: str
    scopes: frozenset[str]
    stream: str | None

    @property
    def who(self) -> str:
        """What histories call them."""
        return _UNNAMED if self.key_id is None else self.name


# who needs no key, because nobody does
ANONYMOUS = Principal(None, "anonymous", frozenset({"admin"}), None)
NOBODY = Principal(None, "anonymous", frozenset(), None)  # who was not asked for a key
