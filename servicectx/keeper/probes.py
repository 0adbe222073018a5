"""Probes: does a service answer its own protocol? Standard library only. A probe is plain data:

`{"kind": "tcp"}`, `{"kind": "http", "url": ...}`, `{"kind": "log", "pattern": ...}`, `{"kind": "exchange", "send":
..., "expect": ...}`, `{"kind": "call", "target": "package.module:function", ...}`, `{"kind": "running"}`.
With `"port"` a probe connects to another port than the server's. An exchange with `"socket"`, the path of a Unix
socket, connects to that socket. With `"log": true` a call gets the path of the service's log as its argument `log`;
with `"log_start": true` also, as `log_start`, the size in bytes that the log had before this run of the server.
A probe returns a dict of facts (for example a version), or None for "not yet".
"""

import errno
import re
from typing import Any

from servicectx.keeper import search_path
from servicectx.system import faults, reading, sockets
from servicectx.system.originals import socket

LOG_LIMIT = 2**26  # bytes of the output of a start


def run_probe(
    probe: dict[str, Any], host: str, port: int, log: str = "", wait: float = 1.0, log_start: int = 0
) -> dict[str, Any] | None:
    """Run a probe once, for at most about `wait` seconds. A failed connection or an unexpected answer is "not yet".

    `log_start`: the bytes of the log that an earlier run of the server wrote; a probe does not look at them.
    Raises HomeError where this process has no free descriptor: then the state of the service is unknown.
    """
    arguments = {name: value for name, value in probe.items() if name not in ("kind", "target", "port")}
    port = int(probe.get("port", port))
    try:
        match probe["kind"]:
            case "running":
                return {}
            case "tcp":
                socket.create_connection((host, port), wait).close()
                return {}
            case "exchange":
                return _exchange(host, port, wait, **arguments)
            case "http":
                return _http(wait, **arguments)
            case "log":
                return _log(log, log_start, **arguments)
            case "call":
                for name, value in {"log": log, "log_start": log_start}.items():
                    arguments |= {name: value} if arguments.get(name) is True else {}
                result = call(probe["target"], host, port, wait, **arguments)
                assert result is None or isinstance(result, dict)
                return result
            case unknown:
                raise ValueError(f"unknown kind of probe: {unknown!r}")
    except EOFError:
        return None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise faults.home_error(error, "the service could not be probed", f"{host}:{port}") or error from None
        return None


def call(target: str, *arguments: Any, **options: Any) -> Any:
    """Call "package.module:function"."""
    module, _, function = target.partition(":")
    return getattr(search_path.load(module), function)(*arguments, **options)


def _exchange(host: str, port: int, wait: float, send: str, expect: str, socket: str = "") -> dict[str, Any] | None:
    """Send a text (as latin-1) and read until `expect` matches. The named groups are the facts."""
    with sockets.connect(host, port, wait, socket) as connection:
        connection.sendall(send.encode("latin-1"))
        reply = b""
        while chunk := connection.recv(65536):
            reply += chunk
            if found := re.search(expect, reply.decode("latin-1"), re.DOTALL):
                return found.groupdict()
    return None


def _http(wait: float, url: str) -> dict[str, Any] | None:
    """Accept a status below 400. The environment's proxies are ignored on the loopback interface."""
    import http.client
    import urllib.error
    import urllib.request

    class Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
        def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
            def connection(*arguments: Any, **options: Any) -> Any:
                made = http_class(*arguments, **options)
                made._create_connection = socket.create_connection  # the original, not one that a test has replaced
                return made

            return super().do_open(connection, req, **http_conn_args)

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Handler())
    try:
        with opener.open(url, timeout=wait) as answer:
            return {} if answer.status < 400 else None
    except (urllib.error.HTTPError, http.client.HTTPException, ValueError):
        return None


def _log(path: str, start: int, pattern: str) -> dict[str, Any] | None:
    with reading.open_log(path, start) as file:
        text = file.read(LOG_LIMIT).decode(errors="replace").replace("\r\n", "\n")
    found = re.search(pattern, text, re.MULTILINE)
    return found.groupdict() if found else None
