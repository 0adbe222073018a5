"""Short HTTP requests to managed servers, for probes and namespaces, with the standard library alone."""

import http.client
from collections.abc import Mapping
from typing import Any, NamedTuple

from servicectx.system.originals import json, socket


class Answer(NamedTuple):
    """An HTTP response. `data` is the JSON of the body or None; `server` is the header `Server`."""

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
    """Send one request on a new connection, without a proxy.

    `body`: text is sent unchanged, any other value as JSON. `wait`: seconds for each step.

    Raises:
        OSError: no answer, or not an HTTP response.
    """
    connection_class = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = connection_class(host, port, timeout=wait)
    connection._create_connection = socket.create_connection  # type: ignore[attr-defined]  # the original, because tests may forbid the one in `socket`
    all_headers = dict(headers or {})
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        all_headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, None if body is None else body.encode(), all_headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"{host}:{port} did not send an HTTP response: {error!r}") from None
    finally:
        connection.close()
    server = answer.getheader("Server", "")
    try:
        return Answer(answer.status, json.loads(text), text, server)
    except ValueError:
        return Answer(answer.status, None, text, server)
