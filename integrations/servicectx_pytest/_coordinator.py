"""Coordinator of the processes of one run. It lives in the first process, and starts no service itself.

With pytest-xdist the first process, the controller, runs no tests. Each worker reports its starts to the controller:

- the controller takes a lease on each service of a worker and holds it until the run ends, so that a service does not
  stop when one worker is done before another one begins;
- the controller reports a failure to every later worker, which does not repeat the start.

The coordinator listens on a loopback port and checks a random token. It needs no file, which a kill would leave.
"""

import contextlib
import json
import os
import socket
import threading
from typing import Any

Record = dict[str, Any]


class Coordinator:
    """State of one test run, in the process that the user started."""

    def __init__(self) -> None:
        self.id = os.urandom(8).hex()
        self.address = ""
        #: Uses of services, in order: label, outcome, seconds, worker.
        self.uses: list[Record] = []
        #: Log lines of the library, such as the path of kept data.
        self.notes: list[str] = []
        self._changed = threading.Condition()
        self._starting: set[str] = set()
        self._done: dict[str, Record | None] = {}
        self._holds: dict[str, contextlib.AbstractContextManager[None]] = {}
        self._sockets: list[socket.socket] = []
        self._pid = os.getpid()

    def begin(self, key: str, seconds: float) -> Record | None:
        """Before entering: wait at most `seconds` for another start of the same service; its failure, or None."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._starting, seconds)
            if key not in self._done:
                self._starting.add(key)
            return self._done.get(key)

    def end(self, key: str, use: Record | None, failure: Record | None, ticket: str | None) -> None:
        """After entering. `use` is None for a cancelled start, which the next process begins again."""
        with self._changed:
            if ticket is not None and ticket not in self._holds and self._sockets:
                self._hold(ticket)
            if use is not None:
                self.uses.append(use)
                self._done[key] = failure
            self._starting.discard(key)
            self._changed.notify_all()

    def _hold(self, ticket: str) -> None:
        from servicectx import ServiceCtxError, hold

        with contextlib.suppress(ServiceCtxError):  # the service died meanwhile; its next use raises the error
            holding = hold(ticket)
            holding.__enter__()
            self._holds[ticket] = holding

    def listen(self) -> str:
        """Accept connections of other processes of this run; the address for a `CoordinatorClient`. Idempotent."""
        if not self.address:
            token = os.urandom(16).hex()
            listener = socket.create_server(("127.0.0.1", 0))
            self._sockets.append(listener)
            self.address = f"{listener.getsockname()[1]}:{token}"
            threading.Thread(target=self._accept, args=(listener, token), daemon=True).start()
        return self.address

    def _accept(self, listener: socket.socket, token: str) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = listener.accept()
                with self._changed:
                    if self._sockets:
                        self._sockets.append(connection)
                        threading.Thread(target=self._serve, args=(connection, token), daemon=True).start()
                    else:
                        connection.close()

    def _serve(self, connection: socket.socket, token: str) -> None:
        from hmac import compare_digest

        begun = set()
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("r", encoding="utf-8") as lines:
            authenticated = compare_digest(lines.readline(100).strip(), token)
            for line in lines if authenticated else ():
                command, key, *arguments = json.loads(line)
                if command == "begin":
                    begun.add(key)
                    reply = self.begin(key, *arguments)
                else:
                    begun.discard(key)
                    self.end(key, *arguments)
                    reply = None
                connection.sendall(json.dumps(reply).encode() + b"\n")
        with self._changed, contextlib.suppress(ValueError):
            self._sockets.remove(connection)
        for key in begun:  # the process died during these starts
            self.end(key, None, None, None)

    def is_here(self) -> bool:
        """Whether this is the first process of the run, and not a fork of it."""
        return os.getpid() == self._pid

    def close(self) -> None:
        """Close all connections and leases. In a forked child, and the second time, nothing happens."""
        if not self.is_here():
            return
        with self._changed:
            sockets, self._sockets = self._sockets, []
            holds, self._holds = self._holds, {}
        for open_socket in sockets:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        with contextlib.ExitStack() as stack:
            for holding in holds.values():
                stack.push(holding)
