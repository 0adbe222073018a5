"""Dead users of namespaces: `python -m tests.services.killed SERVICE [keep]`, details on standard input."""

import importlib
import signal
import subprocess
import sys
from pathlib import Path

from servicectx import ServiceDetails, isolated
from servicectx.services import registry

ROOT = Path(__file__).parents[2]


def in_a_namespace(details: ServiceDetails) -> None:
    """Run a process that opens a namespace, stores a value like the service's tests, and is killed."""
    command = [sys.executable, "-m", __name__, details.service]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        try:
            assert user.stdin
            assert user.stdout
            user.stdin.write(details.model_dump_json() + "\n")
            user.stdin.flush()
            assert user.stdout.readline() == "stored\n"
        finally:
            user.kill()
        assert user.wait(60) == -signal.SIGKILL


def and_kept(details: ServiceDetails) -> None:
    """Run a process that opens a namespace, stores a value, keeps the namespace, and exits."""
    command = [sys.executable, "-m", __name__, details.service, "keep"]
    record = details.model_dump_json() + "\n\n"
    subprocess.run(command, cwd=ROOT, input=record, stdout=subprocess.DEVNULL, text=True, check=True, timeout=60)


def _use(name: str, *keep: str) -> None:
    service = registry.find(name)
    details = service.details_model().parse(sys.stdin.readline())
    put = importlib.import_module(f"tests.services.test_{name}").put
    if keep:  # like `isolated(keep=True)`, which would also keep the server up
        isolation = service.isolation(details)
        assert isolation is not None
        mine = isolation.open()
        put(mine, "left", "behind")
        isolation.keep(mine)
        return
    with isolated(details) as mine:
        put(mine, "left", "behind")
        print("stored", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    _use(*sys.argv[1:])
