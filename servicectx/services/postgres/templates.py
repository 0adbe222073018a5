"""Templates with set-ups on top: for each chain of set-ups one database, made once and shared by all processes.

Whoever makes one holds an advisory lock of the server's, which is free as soon as its holder is dead. It works in a
database of another name and renames that at the end, so nothing half done is ever taken for a template. A half whose
lock is free is a dead maker's, and the next visitor drops it.
A server of our own takes its templates along when it goes; for one from outside see `postgres_holds`.
"""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

from servicectx.errors import NotIsolable
from servicectx.isolation.setup_step import SetupStep, SetupSteps
from servicectx.services.postgres.databases import CURE, HALF, LAYER, Databases, base
from servicectx.services.postgres.drop import drop, is_left_alone
from servicectx.services.postgres.locks import lock, unlock
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted

PATIENCE = 600.0  # seconds for another one's set-up

At = Callable[[str], Any]  # the details of the database of that name


def names(layers: SetupSteps, prefix: str = LAYER) -> list[str]:
    """The templates' names, from the first set-up alone to all of them."""
    texts = [layer.text for layer in layers]
    chains = ["\0".join(texts[: end + 1]) for end in range(len(texts))]
    return [prefix + hashlib.sha256(chain.encode()).hexdigest()[:16] for chain in chains]


def source(server: Databases, session: Connection, layers: SetupSteps, at: At, prefix: str = LAYER) -> str:
    """The template with all `layers`, made if need be. Raises SetupFailed, NotIsolable."""
    wanted = names(layers, prefix)
    if is_there(session, wanted[-1]):
        return wanted[-1]
    below = base(session)
    for layer, name in zip(layers, wanted, strict=True):
        half = name + HALF
        lock(session, half, PATIENCE)
        try:
            if not is_there(session, name):
                _make(server, session, layer, half, below, at)
                session.run(f"ALTER DATABASE {quoted(half)} RENAME TO {quoted(name)}")
        finally:
            unlock(session, half)
        below = name
    return below


def _make(server: Databases, session: Connection, layer: SetupStep, half: str, below: str, at: At) -> None:
    drop(session, half)  # a dead maker's
    try:
        server.clone(session, half, below)
        layer.run(at(half))
        if not is_left_alone(session, half):
            reason = f"the set-up {layer.called} left connections open; {CURE}"
            raise NotIsolable(service="postgres", reason=reason)
        if not server.external:
            _reset_statistics(server, session, half)
        session.run(f"ALTER DATABASE {quoted(half)} IS_TEMPLATE true ALLOW_CONNECTIONS false")
    except BaseException:
        with contextlib.suppress(Refused, OSError, EOFError):
            drop(session, half)
        raise


def _reset_statistics(server: Databases, session: Connection, half: str) -> None:
    """Leave an autovacuum nothing to do: it is let in where nobody else is, and the template's files must stay as they
    are (see `postgres_remaking`). It goes by what was counted."""
    with contextlib.closing(server.inside(session, half)) as inside:
        inside.run("SELECT pg_stat_reset()")
    is_left_alone(session, half)


def is_there(session: Connection, name: str) -> bool:
    return bool(session.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)} AND datistemplate"))
