"""The database: one engine a process, and `begin`, the only opener of a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from store import events
from store.errors import DatabaseAway, DatabaseBusy
from store.settings import StoreSettings

__all__ = ["Database", "Session"]

# A stopped process that holds a lock must not hold its stream for ever.
_BOUNDS = (
    "-c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"
    " -c statement_timeout=60s -c timezone=UTC"
)
# A host that fell silent is noticed within half a minute; over a unix socket they mean nothing.
_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,  # seconds of silence before the first probe
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds that sent bytes may stay unacknowledged
}
_BUSY = frozenset({"55P03", "40P01", "57014", "53300"})  # lock, deadlock, statement, connections


class Database:
    """A pool of connections to PostgreSQL.

    Make it after a fork, never before: a connection belongs to one process.

    Args:
        settings: Where the database is.
        on_events: Told the names of the events of each committed transaction, after the commit.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        on_events: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._engine = create_engine(
            settings.database_url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            pool_timeout=5,
            connect_args={"options": _BOUNDS, "connect_timeout": 5, **_KEEPALIVES},
        )
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        self._on_events = on_events

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a transaction that commits when the block ends, and rolls back when it raises.

        Raises:
            DatabaseBusy: A lock or a connection was not had in time.
            DatabaseAway: PostgreSQL cannot be reached. If it left during the commit, the commit
                may have happened: whoever tries again must read first.
        """
        try:
            with self._sessions.begin() as session:
                yield session
                names = events.flush(session)
        except PoolTimeout as error:
            raise DatabaseBusy("no database connection became free in time") from error
        except DBAPIError as error:
            raise _translated(error) from error
        if names and self._on_events is not None:
            self._on_events(names)

    def ping(self) -> None:
        """Raise DatabaseAway unless PostgreSQL answers."""
        with self.begin() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _translated(error: DBAPIError) -> Exception:
    """Our name for a fault of the connection; any other error as it is."""
    code = getattr(error.orig, "sqlstate", None)
    if code in _BUSY:
        return DatabaseBusy(f"the database is busy: {error.orig}")
    if error.connection_invalidated or (isinstance(error, OperationalError) and code is None):
        return DatabaseAway(f"the database cannot be reached: {error.orig}")
    if code is not None and code.startswith(("08", "57P", "25P03", "53")):
        return DatabaseAway(f"the database is leaving: {error.orig}")
    return error
