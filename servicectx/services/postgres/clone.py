"""The namespaces of one Postgres: databases, cloned from the frozen state or from a template with more set-ups."""

from typing import TYPE_CHECKING

from servicectx.isolation.setup_step import SetupSteps
from servicectx.services.postgres import templates
from servicectx.services.postgres.connection_cache import close_cached
from servicectx.services.postgres.databases import BASE, WAIT, Databases, base, new_name
from servicectx.services.postgres.recycle import recycling
from servicectx.services.postgres.wire import Connection, Refused

if TYPE_CHECKING:
    from servicectx.services.postgres.details import PostgresDetails


GONE = ("28", "57P")  # SQLSTATE: a different server refuses the login, or this server is shutting down


class PostgresClones:
    """See `Clones`. `data` is the server's data directory, or "" where this user cannot read it."""

    def __init__(self, details: "PostgresDetails", data: str = "") -> None:
        self.details = details
        self.data = data
        self.server = Databases.of(details)

    def new_name(self) -> str:
        return new_name()

    def details_of(self, name: str) -> "PostgresDetails":
        return self.details.model_copy(update={"dbname": name})

    def source(self, setup: SetupSteps) -> str:
        return templates.names(setup)[-1] if setup else BASE

    def create(self, name: str | None, setup: SetupSteps) -> str:
        """Create a database. The default name has this process's signature, so that a later sweep removes it."""
        wait = templates.TEMPLATE_WAIT + WAIT if setup else WAIT
        sources = []

        def source(connection: Connection) -> str:
            sources.append(self._template(connection, setup))
            return sources[-1]

        name = self.server.open(name, source, wait)
        if self.data:
            with self.server.cached(name) as connection:
                recycling(self.data).mark(connection, name, sources[-1])
        return name

    def recycle(self, name: str, new: str, source: str) -> bool:
        if not recycling(self.data).may_work():
            return False
        with self.server.cached(new) as connection:
            return recycling(self.data).recycle(connection, name, new, source)

    def disconnect(self) -> None:
        close_cached()

    def drop(self, name: str) -> None:
        try:
            self.server.close(name)
        except Refused as refusal:
            gone = refusal.code.startswith(GONE)
            raise (ConnectionError if gone else OSError)(f"the server refused: {refusal}") from None

    def _template(self, connection: Connection, setup: SetupSteps) -> str:
        if self.server.external:
            from servicectx.services.postgres.references import referenced_source, references_to

            references_to(self.server)
            return referenced_source(self.server, setup, self.details_of) if setup else base(connection)
        if not setup:
            return base(connection)
        return templates.source(self.server, connection, setup, self.details_of)
