"""Advisory locks of a Postgres: held by a session, and released when the session ends for any reason.

They are per database: processes that share a lock must connect to the same database.
"""

import hashlib

from servicectx.errors import NotIsolable
from servicectx.services.postgres.wire import Connection, Refused

LATE = "55P03"  # SQLSTATE: lock_timeout has expired


def lock(session: Connection, name: str, timeout: float, shared: bool = False) -> None:
    """Wait for the lock. Raises NotIsolable after `timeout` seconds."""
    session.run(f"SET lock_timeout = {int(timeout * 1000)}")
    try:
        session.run(f"SELECT pg_advisory_lock{'_shared' if shared else ''}({_number(name)})")
    except Refused as refusal:
        if refusal.code != LATE:
            raise
        reason = f"another process has been busy with the same set-up for {timeout:g} s"
        raise NotIsolable(service="postgres", reason=reason) from None
    session.run("SET lock_timeout = 0")


def try_lock(session: Connection, name: str) -> bool:
    """Take the lock if no other session holds it. Whether it is held now."""
    return session.run(f"SELECT pg_try_advisory_lock({_number(name)})") == ["t"]


def unlock(session: Connection, name: str) -> None:
    session.run(f"SELECT pg_advisory_unlock({_number(name)})")


def unlock_all(session: Connection) -> None:
    session.run("SELECT pg_advisory_unlock_all()")


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
