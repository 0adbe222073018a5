"""The backend of `servicectx.isolation.prefetcher`: databases created ahead of demand, all on one connection."""

import contextlib

from servicectx.services.postgres.databases import (
    BASE,
    HALF,
    TEMPLATE,
    WAIT,
    Databases,
    base,
    copy,
    drop_halves,
    new_name,
)
from servicectx.services.postgres.drop import drop, end_clients, is_left_alone
from servicectx.services.postgres.locks import lock, unlock
from servicectx.services.postgres.recycle import recycling
from servicectx.services.postgres.wire import Connection, Refused, literal

AHEAD = "servicectx ahead"


class PostgresPrefetch:
    """A `servicectx.isolation.prefetcher.PrefetchBackend` for one prefetcher. `data` is the server's data directory."""

    def __init__(self, host: str, port: int | str, user: str, password: str, data: str) -> None:
        self._server = Databases(host, port, user, password)
        self._recycling = recycling(data)
        self._connection: Connection | None = None

    def begin(self) -> None:
        end_clients(self._session(), f"application_name = {literal(AHEAD)} AND pid <> pg_backend_pid()")

    def size(self, source: str) -> int:
        (bytes_,) = self._session().run(f"SELECT pg_database_size({literal(self._source(source))})")
        return int(bytes_ or 0)

    def create(self, name: str, source: str) -> None:
        source = self._source(source)
        self._server.clone(self._session(), name, source)
        self._recycling.mark(self._session(), name, source)

    def recycle(self, name: str, new: str, source: str) -> bool:
        return self._recycling.recycle(self._session(), name, new, source)

    def drop(self, name: str) -> None:
        self._server.drop(self._session(), name)
        self._recycling.clear(name)
        drop_halves(self._session())  # its user may have died while it made a template

    def disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def new_name(self) -> str:
        return new_name()

    def _source(self, source: str) -> str:
        return self._frozen() if source == BASE else source

    def _frozen(self) -> str:
        """As `base`, but where no state was stored because there was no set-up, the current state is stored.

        Copies of template1 cannot be recycled, because template1 may change.
        """
        session, half = self._session(), TEMPLATE + HALF
        if base(session) == TEMPLATE:
            return TEMPLATE
        lock(session, half, WAIT)
        try:
            if base(session) != TEMPLATE:
                drop(session, half)  # left by a dead process
                self._warm_up("template1")
                copy(session, half, "template1")
                session.run(f"ALTER DATABASE {half} IS_TEMPLATE true ALLOW_CONNECTIONS false")
                session.run(f"ALTER DATABASE {half} RENAME TO {TEMPLATE}")
        finally:
            unlock(session, half)
        return TEMPLATE

    def _warm_up(self, name: str) -> None:
        """Connect once. The first connection writes a cache file that later connections and all copies use.

        It halves the time of the first connection to each copy.
        """
        with contextlib.suppress(Refused):
            self._server.connect(AHEAD, name).close()
            is_left_alone(self._session(), name)

    def _session(self) -> Connection:
        if self._connection is None:
            self._connection = self._server.connect(AHEAD)
        return self._connection
