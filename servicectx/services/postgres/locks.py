"""Advisory locks of a Postgres: held by a session, and free when that ends, however it ends.

They count among the sessions of one database; who wants to meet must connect to the same one.
"""

import hashlib

from servicectx.errors import NotIsolable
from servicectx.services.postgres.wire import Connection, Refused

LATE = "55P03"  # SQLSTATE: the time for a lock is over


def lock(session: Connection, what: str, patience: float, shared: bool = False) -> None:
    """Wait for the lock. Raises NotIsolable when that takes more than `patience` seconds."""
    session.run(f"SET lock_timeout = {int(patience * 1000)}")
    try:
        session.run(f"SELECT pg_advisory_lock{'_shared' if shared else ''}({_number(what)})")
    except Refused as refusal:
        if refusal.code != LATE:
            raise
        reason = f"another process has been busy with the same set-up for {patience:g} s"
        raise NotIsolable(service="postgres", reason=reason) from None
    session.run("SET lock_timeout = 0")


def try_lock(session: Connection, what: str) -> bool:
    """Whether the lock was free of all other sessions, and is held now."""
    return session.run(f"SELECT pg_try_advisory_lock({_number(what)})") == ["t"]


def unlock(session: Connection, what: str) -> None:
    session.run(f"SELECT pg_advisory_unlock({_number(what)})")


def unlock_all(session: Connection) -> None:
    session.run("SELECT pg_advisory_unlock_all()")


def _number(what: str) -> int:
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
