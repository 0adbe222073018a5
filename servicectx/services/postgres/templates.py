"""Templates with more set-ups: one database for each chain of set-ups, made once and shared by all processes.

The creator of a template holds an advisory lock of the server, which is released if the creator dies. The creator works
in a database with another name and renames it at the end, so an unfinished database is never used as a template. An
unfinished database with a free lock belongs to a dead process, and the next process drops it.
A server started by servicectx is removed with its templates; for external servers see `references`.
"""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

from servicectx.errors import NotIsolable
from servicectx.isolation.setup_step import SetupStep, SetupSteps
from servicectx.services.postgres.databases import CURE, HALF, TEMPLATE_PREFIX, Databases, base
from servicectx.services.postgres.drop import drop, is_left_alone
from servicectx.services.postgres.locks import lock, unlock
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted

TEMPLATE_WAIT = 600.0  # seconds for a set-up of another process

At = Callable[[str], Any]  # returns the details of the database with that name


def names(setup: SetupSteps, prefix: str = TEMPLATE_PREFIX) -> list[str]:
    """The names of the templates, from the first set-up alone to all of them."""
    identities = [step.identity for step in setup]
    chains = ["\0".join(identities[: end + 1]) for end in range(len(identities))]
    return [prefix + hashlib.sha256(chain.encode()).hexdigest()[:16] for chain in chains]


def source(server: Databases, session: Connection, setup: SetupSteps, at: At, prefix: str = TEMPLATE_PREFIX) -> str:
    """The template with all set-ups, made if missing. Raises SetupFailed, NotIsolable."""
    wanted = names(setup, prefix)
    if is_there(session, wanted[-1]):
        return wanted[-1]
    below = base(session)
    for step, name in zip(setup, wanted, strict=True):
        half = name + HALF
        lock(session, half, TEMPLATE_WAIT)
        try:
            if not is_there(session, name):
                _make(server, session, step, half, below, at)
                session.run(f"ALTER DATABASE {quoted(half)} RENAME TO {quoted(name)}")
        finally:
            unlock(session, half)
        below = name
    return below


def _make(server: Databases, session: Connection, step: SetupStep, half: str, below: str, at: At) -> None:
    drop(session, half)  # left by a dead process
    try:
        server.clone(session, half, below)
        step.run(at(half))
        if not is_left_alone(session, half):
            reason = f"the set-up {step.label} left connections open; {CURE}"
            raise NotIsolable(service="postgres", reason=reason)
        if not server.external:
            _reset_statistics(server, session, half)
        session.run(f"ALTER DATABASE {quoted(half)} IS_TEMPLATE true ALLOW_CONNECTIONS false")
    except BaseException:
        with contextlib.suppress(Refused, OSError, EOFError):
            drop(session, half)
        raise


def _reset_statistics(server: Databases, session: Connection, half: str) -> None:
    """Reset the counters that start an autovacuum, which can enter a template without connections.

    The template's files must not change (see `recycle`).
    """
    with contextlib.closing(server.inside(session, half)) as inside:
        inside.run("SELECT pg_stat_reset()")
    is_left_alone(session, half)


def is_there(session: Connection, name: str) -> bool:
    return bool(session.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)} AND datistemplate"))
