"""Remove the parts of a database that outlive its clients and block DROP DATABASE."""

from servicectx.services.postgres.wire import Connection, literal, quoted
from servicectx.system.originals import time

PARTING = 1.0  # seconds for a terminated session to end


def remove_blockers(inside: Connection) -> None:
    """Remove prepared transactions, replication slots and subscriptions of the database of `inside`.

    They can be removed only from a connection to their own database.
    """
    for transaction in inside.run("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        inside.run(f"ROLLBACK PREPARED {literal(str(transaction))}")
    for name in inside.run(f"SELECT subname FROM pg_subscription WHERE subdbid = ({_HERE})"):
        subscription = f"SUBSCRIPTION {quoted(str(name))}"
        inside.run(f"ALTER {subscription} DISABLE")
        inside.run(f"ALTER {subscription} SET (slot_name = NONE)")  # the slot belongs to the other server
        inside.run(f"DROP {subscription}")
    until = time.monotonic() + PARTING
    while inside.run(f"SELECT pg_terminate_backend(active_pid) FROM ({_SLOTS}) AS slot WHERE active_pid IS NOT NULL"):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    inside.run(f"SELECT pg_drop_replication_slot(slot_name) FROM ({_SLOTS}) AS slot WHERE active_pid IS NULL")


_HERE = "SELECT oid FROM pg_database WHERE datname = current_database()"
_SLOTS = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = current_database()"
