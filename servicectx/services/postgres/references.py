"""Templates on a server from outside, which nobody takes along at the end.

The code of a set-up may change under the same name, so a template must not outlive those who use it. Each process that
uses one has a connection that holds the template's lock, shared, as long as the process lives. Whoever gets it alone
drops the template: the last one out, or the next one to make a template where the last one out was killed.
Templates are made on connections of their own, so that set-ups may take as long as they like, and ask for templates.
"""

import atexit
import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterator

from servicectx.isolation import owner_names
from servicectx.isolation.setup_step import SetupSteps
from servicectx.services.postgres.databases import LAYER, Databases, drop_halves
from servicectx.services.postgres.drop import drop
from servicectx.services.postgres.locks import lock, try_lock, unlock, unlock_all
from servicectx.services.postgres.templates import PATIENCE, At, is_there, names, source
from servicectx.services.postgres.wire import ENTRY, Connection, Refused, literal

LEAVE = 5.0  # seconds that the end of a process may wait for a server


class TemplateReferences:
    """One connection of this process to one server, and the templates that it holds. One thread at a time has it."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.session: Connection | None = None
        self.entry = ""  # the database that it is connected to
        self.outer = ""  # the one that people named
        self.names: set[str] = set()

    @contextlib.contextmanager
    def connected(self, server: Databases) -> Iterator[Connection]:
        """For the block it is this thread's, and connected."""
        with self.busy:
            try:
                if self.session is not None:
                    self.session.run("SELECT 1")
            except (Refused, OSError, EOFError):  # the server or somebody at it has ended it, and its locks are gone
                self.close()
            session = self.session or self._connect(server)
            try:
                yield session
            except (OSError, EOFError):
                self.close()
                raise

    def _connect(self, server: Databases) -> Connection:
        """To a database that stays, if one lets us in: locks and names of templates count in one database."""
        for dbname in filter(None, (ENTRY, self.outer)):
            with contextlib.suppress(Refused):
                return self._enter(server, dbname)
        return self._enter(server, server.dbname)

    def _enter(self, server: Databases, dbname: str) -> Connection:
        self.session = server.connect(dbname=dbname, wait=PATIENCE + LEAVE)
        self.entry = dbname
        return self.session

    def take(self, session: Connection, wanted: list[str]) -> None:
        new = [name for name in wanted if name not in self.names]
        for name in new:
            lock(session, name, PATIENCE, shared=True)
            self.names.add(name)
        if new:
            self.drop_unused(session)

    def drop_unused(self, session: Connection) -> None:
        """Drop the templates that nobody holds, and what died half made."""
        prefix = prefix_in(self.entry)
        drop_halves(session, prefix)
        templates = f"SELECT datname FROM pg_database WHERE starts_with(datname, {literal(prefix)}) AND datistemplate"
        for name in session.run(templates):
            if name is not None and name not in self.names and try_lock(session, name):
                try:
                    with contextlib.suppress(Refused):  # somebody else's
                        drop(session, name)
                finally:
                    unlock(session, name)
        for name in orphans(session.run("SELECT datname FROM pg_database")):
            with contextlib.suppress(Refused):
                drop(session, name)

    def leave(self) -> None:
        if self.session is not None and self.busy.acquire(timeout=LEAVE):
            self.session.hurry(LEAVE)
            unlock_all(self.session)
            self.names.clear()
            self.drop_unused(self.session)

    def close(self) -> None:
        self.names.clear()
        if self.session is not None:
            session, self.session = self.session, None
            session.close()


Login = tuple[str, int, str]

_holds: dict[Login, TemplateReferences] = {}


def references_to(server: Databases) -> TemplateReferences:
    """This process's, which remembers what people called a database."""
    hold = _holds.setdefault((server.host, server.port, server.user), TemplateReferences())
    if not owner_names.signature(server.dbname):
        hold.outer = server.dbname
    return hold


def referenced_source(server: Databases, layers: SetupSteps, at: At) -> str:
    """As `source`; what it gives stays there while this process lives."""
    host = layers[0]._replace(text=f"{owner_names.host()} {server.user} {layers[0].text}")  # elsewhere is other code
    layers = [host, *layers[1:]]
    hold = references_to(server)
    with server.refusals():
        while True:
            with hold.connected(server) as session:
                entry, wanted = hold.entry, names(layers, prefix_in(hold.entry))
                hold.take(session, wanted)
                if is_there(session, wanted[-1]):
                    return wanted[-1]
            with contextlib.closing(server.connect(dbname=entry, wait=PATIENCE + LEAVE)) as maker:
                source(server, maker, layers, at, prefix_in(entry))


def prefix_in(dbname: str) -> str:
    """Advisory locks belong to the database that one is connected to, so each has templates of its own."""
    return f"{LAYER}{hashlib.sha256(dbname.encode()).hexdigest()[:6]}_"


def orphans(databases: list[str | None]) -> list[str]:
    """Those with the prefix of a database that is gone, and with it every lock that could hold them."""
    there = [name for name in databases if name is not None]
    prefixes = tuple(map(prefix_in, there))
    return [name for name in there if re.match(LAYER + "[0-9a-f]{6}_", name) and not name.startswith(prefixes)]


@atexit.register
def _leave() -> None:
    for hold in _holds.values():
        with contextlib.suppress(Refused, OSError, EOFError):
            hold.leave()
        hold.close()
    _holds.clear()


def _let_go_in_child() -> None:
    for hold in _holds.values():
        hold.close()
    _holds.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
