"""Templates on an external server, which must be removed explicitly.

The code of a set-up may change under the same name, so a template must not outlive its users. Each process that uses a
template has a connection that holds a shared lock on it, as long as the process lives. A process that gets the
exclusive lock drops the template: the last user, or the next creator of a template if the last user was killed.
Templates are made on separate connections, so that set-ups may run for any time, and may use templates themselves.
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
from servicectx.services.postgres.databases import TEMPLATE_PREFIX, Databases, drop_halves
from servicectx.services.postgres.drop import drop
from servicectx.services.postgres.locks import lock, try_lock, unlock, unlock_all
from servicectx.services.postgres.templates import TEMPLATE_WAIT, At, is_there, names, source
from servicectx.services.postgres.wire import ENTRY, Connection, Refused, literal

LEAVE = 5.0  # seconds that the exit of a process may wait for a server


class TemplateReferences:
    """A connection of this process to one server, and the templates locked on it. One thread at a time uses it."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.session: Connection | None = None
        self.entry = ""  # the database of the connection
        self.outer = ""  # the database that the user named
        self.names: set[str] = set()

    @contextlib.contextmanager
    def connected(self, server: Databases) -> Iterator[Connection]:
        """A working connection for the block, reserved for this thread."""
        with self.busy:
            try:
                if self.session is not None:
                    self.session.run("SELECT 1")
            except (Refused, OSError, EOFError):  # the connection was ended, and its locks are released
                self.close()
            session = self.session or self._connect(server)
            try:
                yield session
            except (OSError, EOFError):
                self.close()
                raise

    def _connect(self, server: Databases) -> Connection:
        """Connect to a permanent database if one accepts the login: locks and template names are per database."""
        for dbname in filter(None, (ENTRY, self.outer)):
            with contextlib.suppress(Refused):
                return self._enter(server, dbname)
        return self._enter(server, server.dbname)

    def _enter(self, server: Databases, dbname: str) -> Connection:
        self.session = server.connect(dbname=dbname, wait=TEMPLATE_WAIT + LEAVE)
        self.entry = dbname
        return self.session

    def take(self, session: Connection, wanted: list[str]) -> None:
        new = [name for name in wanted if name not in self.names]
        for name in new:
            lock(session, name, TEMPLATE_WAIT, shared=True)
            self.names.add(name)
        if new:
            self.drop_unused(session)

    def drop_unused(self, session: Connection) -> None:
        """Drop the templates without a lock, and unfinished templates of dead processes."""
        prefix = prefix_in(self.entry)
        drop_halves(session, prefix)
        templates = f"SELECT datname FROM pg_database WHERE starts_with(datname, {literal(prefix)}) AND datistemplate"
        for name in session.run(templates):
            if name is not None and name not in self.names and try_lock(session, name):
                try:
                    with contextlib.suppress(Refused):  # it belongs to another user
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

_references: dict[Login, TemplateReferences] = {}


def references_to(server: Databases) -> TemplateReferences:
    """This process's references on a server. They record the database that the user named."""
    references = _references.setdefault((server.host, server.port, server.user), TemplateReferences())
    if not owner_names.signature(server.dbname):
        references.outer = server.dbname
    return references


def referenced_source(server: Databases, setup: SetupSteps, at: At) -> str:
    """As `source`; the template stays while this process lives."""
    # Other hosts may have other code under the same name.
    first = setup[0]._replace(identity=f"{owner_names.host()} {server.user} {setup[0].identity}")
    setup = [first, *setup[1:]]
    references = references_to(server)
    with server.refusals():
        while True:
            with references.connected(server) as session:
                entry, wanted = references.entry, names(setup, prefix_in(references.entry))
                references.take(session, wanted)
                if is_there(session, wanted[-1]):
                    return wanted[-1]
            with contextlib.closing(server.connect(dbname=entry, wait=TEMPLATE_WAIT + LEAVE)) as session:
                source(server, session, setup, at, prefix_in(entry))


def prefix_in(dbname: str) -> str:
    """The prefix of template names. Advisory locks are per database, so each database has separate templates."""
    return f"{TEMPLATE_PREFIX}{hashlib.sha256(dbname.encode()).hexdigest()[:6]}_"


def orphans(databases: list[str | None]) -> list[str]:
    """The templates with the prefix of a removed database, and so without any lock."""
    there = [name for name in databases if name is not None]
    prefixes = tuple(map(prefix_in, there))
    return [
        name for name in there if re.match(TEMPLATE_PREFIX + "[0-9a-f]{6}_", name) and not name.startswith(prefixes)
    ]


@atexit.register
def _leave() -> None:
    for references in _references.values():
        with contextlib.suppress(Refused, OSError, EOFError):
            references.leave()
        references.close()
    _references.clear()


def _close_in_child() -> None:
    for references in _references.values():
        references.close()
    _references.clear()


os.register_at_fork(after_in_child=_close_in_child)
