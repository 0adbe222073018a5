"""The keeper's probe of CockroachDB, over the Postgres protocol."""

import re
import ssl
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from servicectx.services.postgres.wire import Connection, Refused, literal, quoted

STATEMENT = 10.0  # seconds; the first statements of a fresh node are slow


def claim_server(
    host: str,
    port: int,
    wait: float,
    *,
    url: str,
    certificates: str,
    user: str,
    password: str,
    dbname: str,
    settings: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Set the password of the user over a connection of root with a certificate, then log in with that password.

    Another user than root is created, as an administrator; root then has only its certificate.

    None before the file `url` names this port. Our server writes the file once it accepts clients, so the process
    at the port in it is our server.
    """
    try:
        listening = Path(url).read_text(encoding="utf-8")
    except OSError:
        return None
    if not re.search(rf":{port}\b", listening):
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(f"{certificates}/ca.crt")
    tls.load_cert_chain(f"{certificates}/client.root.crt", f"{certificates}/client.root.key")
    try:
        with closing(Connection(host, port, "root", "", "system", max(wait, STATEMENT), tls=tls)) as first:
            first.run(f"CREATE DATABASE IF NOT EXISTS {quoted(dbname)}")
            for name, value in settings.items():
                first.run(f"SET CLUSTER SETTING {name} = {_value(value)}")
            if user != "root":
                first.run(f"CREATE USER IF NOT EXISTS {quoted(user)}")
                first.run(f"GRANT admin TO {quoted(user)}")
            first.run(f"ALTER USER {quoted(user)} WITH PASSWORD {literal(password)}")
        with closing(Connection(host, port, user, password, dbname, wait)) as second:
            version = re.search(r"\bv(\d[\w.-]*)", second.parameters.get("crdb_version", ""))
            return {"version": version and version[1]}
    except Refused as refusal:
        raise ValueError(f"CockroachDB refused the keeper: {refusal}") from None


def _value(value: str | float | bool) -> str:
    return literal(value) if isinstance(value, str) else str(value).lower()
