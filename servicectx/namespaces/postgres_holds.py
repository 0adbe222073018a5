"""Templates on a server from outside, which nobody takes along at the end.

The code of a set-up may change under the same name, so a template must not outlive those who use it. Each process that
uses one has a connection that holds the template's lock, shared, as long as the process lives. Whoever gets it alone
drops the template: the last one out, or the next one to make a template where the last one out was killed.
"""

import atexit
import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator

from servicectx.namespaces import makers
from servicectx.namespaces.layers import Layers
from servicectx.namespaces.postgres import LAYER, Databases, drop, drop_halves
from servicectx.namespaces.postgres_layers import PATIENCE, At, names, source
from servicectx.namespaces.postgres_locks import lock, try_lock, unlock, unlock_all
from servicectx.protocols.postgres import Connection, Refused, literal

LEAVE = 5.0  # seconds that the end of a process may wait for a server


class Hold:
    """One connection of this process, and the templates that it holds."""

    def __init__(self, session: Connection) -> None:
        self.session = session
        self.names: set[str] = set()

    def drop_unused(self, prefix: str) -> None:
        """Drop the templates that nobody holds, and what died half made."""
        drop_halves(self.session, prefix)
        templates = f"SELECT datname FROM pg_database WHERE starts_with(datname, {literal(prefix)}) AND datistemplate"
        for name in self.session.run(templates):
            if name is not None and name not in self.names and try_lock(self.session, name):
                try:
                    with contextlib.suppress(Refused):  # somebody else's
                        drop(self.session, name)
                finally:
                    unlock(self.session, name)

    def leave(self, prefix: str) -> None:
        self.session.hurry(LEAVE)
        unlock_all(self.session)
        self.names.clear()
        self.drop_unused(prefix)


Login = tuple[str, int, str, str]

_holds: dict[Login, Hold] = {}
_busy = threading.Lock()


def held_source(server: Databases, layers: Layers, at: At) -> str:
    """As `source`; what it gives stays there while this process lives."""
    prefix = _prefix(server.dbname)
    host = layers[0]._replace(text=f"{makers.host()} {server.user} {layers[0].text}")  # elsewhere is other code
    layers = [host, *layers[1:]]
    with _busy, server.refusals(), _hold(server) as hold:
        new = [name for name in names(layers, prefix) if name not in hold.names]
        for name in new:
            lock(hold.session, name, PATIENCE, shared=True)
            hold.names.add(name)
        if new:
            hold.drop_unused(prefix)
        return source(server, hold.session, layers, at, prefix)


def _prefix(dbname: str) -> str:
    """Advisory locks belong to the database that one is connected to, so each has templates of its own."""
    return f"{LAYER}{hashlib.sha256(dbname.encode()).hexdigest()[:6]}_"


@contextlib.contextmanager
def _hold(server: Databases) -> Iterator[Hold]:
    login = server.host, server.port, server.user, server.dbname
    try:
        if login in _holds:
            _holds[login].session.run("SELECT 1")
    except (Refused, OSError, EOFError):  # the server or somebody at it has ended it, and its locks are gone
        _holds.pop(login).session.close()
    if login not in _holds:
        _holds[login] = Hold(server.connect(wait=PATIENCE + LEAVE))
    try:
        yield _holds[login]
    except (OSError, EOFError):
        _holds.pop(login).session.close()
        raise


@atexit.register
def _leave() -> None:
    for (*_, dbname), hold in _holds.items():
        with contextlib.suppress(Refused, OSError, EOFError):
            hold.leave(_prefix(dbname))
        hold.session.close()
    _holds.clear()


def _let_go_in_child() -> None:
    global _busy
    _busy = threading.Lock()
    for hold in _holds.values():
        hold.session.close()
    _holds.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
