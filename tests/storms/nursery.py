"""A process that has imported the library and forks users, so that a killed user costs no import of Python modules.

    python -m tests.storms.nursery DESCRIPTOR

It reads requests from a socket: {"target": "module:function", "arguments": [...], "environment": {...}} with two
descriptors, which become the standard input and output of the user. The reply is the user's process id, with a
descriptor of the process.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

from tests.actor import ROOT

REQUEST = 65536  # bytes
STACK_TIME = 1.0  # seconds
PACKAGES = ("client", "request", "state", "isolation", "services.redis", "services.postgres")
LIBRARIES = ("psycopg", "redis", "pydantic")


class Fork:
    """A user process, with the part of `subprocess.Popen` that a storm needs. Its exit status is not known."""

    def __init__(self, pid: int, descriptor: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self.stdin, self.stdout = os.fdopen(stdin, "w"), os.fdopen(stdout)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        """None while the process lives."""
        return -signal.SIGKILL if self._is_over(0) else None

    def wait(self) -> int:
        self._is_over(None)
        return -signal.SIGKILL

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def _is_over(self, milliseconds: float | None) -> bool:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(milliseconds))


class Nursery:
    """The handle on the process. Any thread can fork users."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SERVICECTX_")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.storms.nursery", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, target: str, *arguments: Any, environment: dict[str, str]) -> Fork:
        """A new process that calls "module:function" and ends."""
        (stdin, our_stdin), (our_stdout, stdout) = os.pipe(), os.pipe()
        request = {"target": target, "arguments": arguments, "environment": environment}
        try:
            with self._lock:
                socket.send_fds(self._socket, [json.dumps(request).encode()], [stdin, stdout])
                reply, descriptors, *_ = socket.recv_fds(self._socket, REQUEST, 1)
        finally:
            os.close(stdin)
            os.close(stdout)
        return Fork(int(reply), descriptors[0], our_stdin, our_stdout)


def show_stack(process: "Fork | subprocess.Popen[str]") -> None:
    """Let a user that hangs print the stacks of its threads to the standard error."""
    if isinstance(process, Fork):  # others have no handler
        process.send_signal(signal.SIGUSR1)
        time.sleep(STACK_TIME)


_nursery: Nursery | None = None
_first = threading.Lock()


def fork(target: str, *arguments: Any, environment: dict[str, str]) -> Fork:
    """A user process of the one nursery of this process, which ends with it."""
    global _nursery
    with _first:
        _nursery = _nursery or Nursery()
    return _nursery.fork(target, *arguments, environment=environment)


def main() -> None:
    import_library()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            request, descriptors, *_ = socket.recv_fds(requests, REQUEST, 2)
            if not request:
                return
            pid = os.fork()
            if pid == 0:
                requests.close()
                run(json.loads(request), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            process = os.pidfd_open(pid)
            socket.send_fds(requests, [str(pid).encode()], [process])
            os.close(process)


def run(request: dict[str, Any], stdin: int, stdout: int) -> None:
    """In the new process: become a user."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        faulthandler.register(signal.SIGUSR1)
        os.setpgid(0, 0)
        for number, descriptor in enumerate((stdin, stdout)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.update(request["environment"])
        module, _, function = request["target"].partition(":")
        getattr(importlib.import_module(module), function)(*request["arguments"])
        status = 0
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    os._exit(status)


def import_library() -> None:
    import servicectx

    for name in (*LIBRARIES, "tests.actor", "tests.storm_isolated"):
        importlib.import_module(name)
    for package in PACKAGES:
        name = f"{servicectx.__name__}.{package}"
        for module in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
            importlib.import_module(module.name)


if __name__ == "__main__":
    main()
