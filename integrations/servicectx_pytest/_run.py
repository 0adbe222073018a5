"""What the processes of one run share. It lives in the first of them, and needs no service before somebody asks.

With pytest-xdist the first process, the controller, runs no tests. Each worker tells it what it starts, so that

- the controller takes a lease of its own on whatever a worker has, and holds it until the run ends: a service does not
  go when one worker is done before another one begins;
- a failure is told to every worker that asks later, instead of being repeated there.

It listens on a loopback port, for those who know a random token; so nothing lies in a file that a kill would leave.
"""

import contextlib
import json
import os
import socket
import threading
from typing import Any

Record = dict[str, Any]


class Run:
    """One test run, in the process that the user started."""

    def __init__(self) -> None:
        self.id = os.urandom(8).hex()
        self.address = ""
        #: What was asked for, in order: label, how it went, seconds, by whom.
        self.uses: list[Record] = []
        #: What the library had to say, such as where data are kept.
        self.notes: list[str] = []
        self._changed = threading.Condition()
        self._starting: set[str] = set()
        self._done: dict[str, Record | None] = {}
        self._holds: dict[str, contextlib.AbstractContextManager[None]] = {}
        self._sockets: list[socket.socket] = []
        self._pid = os.getpid()

    def begin(self, key: str, seconds: float) -> Record | None:
        """Before entering: wait, at most so long, for another process that starts the same; what it failed with."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._starting, seconds)
            if key not in self._done:
                self._starting.add(key)
            return self._done.get(key)

    def end(self, key: str, use: Record | None, failure: Record | None, ticket: str | None) -> None:
        """After entering. `use` is None when it was given up; the next one to ask then begins again."""
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

        with contextlib.suppress(ServiceCtxError):  # it died meanwhile; whoever uses it will learn of that
            holding = hold(ticket)
            holding.__enter__()
            self._holds[ticket] = holding

    def listen(self) -> str:
        """Let other processes of this run call; the address for a `Line`. The second time, the same one."""
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
                caller, _ = listener.accept()
                with self._changed:
                    if self._sockets:
                        self._sockets.append(caller)
                        threading.Thread(target=self._talk, args=(caller, token), daemon=True).start()
                    else:
                        caller.close()

    def _talk(self, caller: socket.socket, token: str) -> None:
        from hmac import compare_digest

        begun = set()
        with contextlib.suppress(OSError, ValueError), caller, caller.makefile("r", encoding="utf-8") as lines:
            known = compare_digest(lines.readline(100).strip(), token)
            for line in lines if known else ():
                word, key, *rest = json.loads(line)
                if word == "begin":
                    begun.add(key)
                    answer = self.begin(key, *rest)
                else:
                    begun.discard(key)
                    self.end(key, *rest)
                    answer = None
                caller.sendall(json.dumps(answer).encode() + b"\n")
        with self._changed, contextlib.suppress(ValueError):
            self._sockets.remove(caller)
        for key in begun:  # it died while it was starting them
            self.end(key, None, None, None)

    def is_here(self) -> bool:
        """Whether this process is the run's first one, and not forked from it."""
        return os.getpid() == self._pid

    def close(self) -> None:
        """Hang up and give back all that was held. In a forked child, and the second time, nothing happens."""
        if not self.is_here():
            return
        with self._changed:
            sockets, self._sockets = self._sockets, []
            holds, self._holds = self._holds, {}
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with contextlib.ExitStack() as stack:
            for holding in holds.values():
                stack.push(holding)
