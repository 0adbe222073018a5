"""Small talk over HTTP with a server of ours, with the standard library alone: for probes and namespaces."""

import http.client
from collections.abc import Mapping
from typing import Any, NamedTuple

from servicectx.system.originals import json, socket


class Answer(NamedTuple):
    """What came back. `data` is the JSON in the body, None where there is none; `server` is what it calls itself."""

    status: int
    data: Any
    text: str
    server: str = ""


def ask(
    host: str,
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    wait: float = 10.0,
    tls: bool = False,
) -> Answer:
    """One request, on a connection of its own, past all proxies.

    `body`: text as it is, anything else as JSON. `wait`: seconds for each step.

    Raises:
        OSError: nobody answers, or no HTTP.
    """
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind(host, port, timeout=wait)
    connection._create_connection = socket.create_connection  # type: ignore[attr-defined]  # not one that a test forbids
    told = dict(headers or {})
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        told.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, None if body is None else body.encode(), told)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"{host}:{port} does not speak HTTP: {error!r}") from None
    finally:
        connection.close()
    server = answer.getheader("Server", "")
    try:
        return Answer(answer.status, json.loads(text), text, server)
    except ValueError:
        return Answer(answer.status, None, text, server)
