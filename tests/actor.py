"""A user of the library in a process of its own, which executes commands and can be paused, stopped and killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.detector import Home, wait_for

ROOT = Path(__file__).parents[1]
REPLY_TIME = 60.0  # seconds; a reply ends the wait


class Actor:
    """A handle on the process. `send` writes a command, `hear` reads a reply; `ask`, `enter` and `leave` do both."""

    def __init__(
        self, home: Home, *, pause_at: str | None = None, prefix: Sequence[str] = (), **environment: str
    ) -> None:
        """`prefix`: a command such as `unshare` that runs the process."""
        self.home = home
        self.paused_file = Path(tempfile.gettempdir()) / f"{home.path.name}.{os.urandom(3).hex()}.paused"
        pause = {"SERVICECTX_TEST_PAUSE": f"{pause_at}:{self.paused_file}"} if pause_at else {}
        cache = {"SERVICECTX_CACHE": os.environ.get("SERVICECTX_CACHE", str(ROOT / ".pytest_cache" / "servicectx"))}
        self.process = self._start(prefix, cache | {"SERVICECTX_HOME": str(home.path)} | pause | environment)

    def _start(self, prefix: Sequence[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("SERVICECTX_") or name == "SERVICECTX_TEST_PORTABLE"
        }
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.actor"],
            cwd=ROOT,
            env=inherited | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def __enter__(self) -> "Actor":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.paused_file.unlink(missing_ok=True)

    def send(self, command: str, **arguments: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self.process.stdin.flush()

    def hear(self, seconds: float = REPLY_TIME) -> dict[str, Any]:
        """Read the next reply. Fails without a reply in time, or with a dead actor."""
        import select

        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], seconds)[0], f"no answer within {seconds:g} s"
        line = self.process.stdout.readline()
        assert line, "the actor died"
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.send(command, **arguments)
        return self.hear()

    def enter(self, service: str = "redis", **arguments: Any) -> dict[str, Any]:
        reply = self.ask("enter", service=service, arguments=arguments)
        assert "error" not in reply, reply
        return reply

    def leave(self) -> dict[str, Any]:
        reply = self.ask("leave")
        assert "error" not in reply, reply
        return reply

    def wait_paused(self, seconds: float = REPLY_TIME) -> int:
        """Wait until a process of this actor's start is paused at the step; its process id."""
        wait_for(self.paused_file.exists, seconds, lambda: "no process reached the step")
        return int(self.paused_file.read_text())

    def resume(self) -> None:
        """Resume the paused process. No process pauses a second time."""
        self.paused_file.write_text("")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def main() -> None:
    import servicectx

    acting = False

    def interrupt(*_: object) -> None:
        if acting:  # between two commands there is nothing to interrupt
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    held: list[servicectx.Managed[Any]] = []
    for line in sys.stdin:
        command = json.loads(line)
        began = time.monotonic()
        try:
            acting = True
            reply = _act(command, held)
            acting = False
        except (Exception, KeyboardInterrupt) as error:
            acting = False
            reply = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps({"took": time.monotonic() - began, "at": time.monotonic(), **reply}), flush=True)


isolated: list[Any] = []


def _act(command: dict[str, Any], held: list[Any]) -> dict[str, Any]:
    import servicectx

    match command["do"]:
        case "enter":
            arguments = command["arguments"]
            if arguments.get("setup"):
                arguments["setup"] = globals()[arguments["setup"]]
            managed = servicectx.managed(command["service"], **arguments)
            details = managed.__enter__()
            held.append(managed)
            return {**details.model_dump(), "url": details.url, "joined": managed.joined}
        case "leave":
            held.pop().__exit__(None, None, None)
            return {}
        case "details":
            return {**held[-1].details.model_dump(), "url": held[-1].details.url}
        case "alive":
            failure = held[-1].failure
            return {"alive": held[-1].alive, "failure": failure and str(failure)}
        case "restart":
            held[-1].restart(**command.get("arguments", {}))
            return {"pid": held[-1].pid}
        case "use":
            return {"used": use(held[-1].details)}
        case "directory":
            return {"directory": directory(held[-1].details)}
        case "alive_check":
            return {}
        case "set_up_count":
            return {"count": set_up_count(held[-1].details)}
        case "isolate":
            arguments = command.get("arguments", {})
            if arguments.get("setup"):
                arguments["setup"] = [globals()[name] for name in arguments["setup"]]
            isolating = servicectx.isolated(held[-1].details, **arguments)
            namespace = isolating.__enter__()
            isolated.append(isolating)
            return {**namespace.model_dump(), "url": namespace.url}
        case "give_back":
            isolated.pop().__exit__(None, None, None)
            return {}
        case "fork":
            child = os.fork()
            if child == 0:
                sys.exit(0)  # runs the parent's finally and atexit, which must not release the parent's lease
            return {"status": os.waitpid(child, 0)[1]}
        case "fork_and_stay":
            child = os.fork()
            if child == 0:
                for number in (0, 1):
                    os.close(number)
                signal.pause()
            return {"child": child}
        case other:
            raise ValueError(other)


def use(details: Any) -> str:
    """Write a value and read it back, with the service's usual client."""
    if details.service == "postgres":
        import psycopg

        with psycopg.connect(details.url) as connection:
            row = connection.execute("select 40 + 2").fetchone()
            return str(row[0]) if row else ""
    import redis

    with redis.Redis.from_url(details.url) as client:
        client.set("answer", "42")
        return str(client.get("answer"), "utf-8")


def directory(details: Any) -> str:
    """The server's own report of its data directory."""
    if details.service == "postgres":
        import psycopg

        with psycopg.connect(details.url) as connection:
            row = connection.execute("show data_directory").fetchone()
            return str(row[0]) if row else ""
    import redis

    with redis.Redis.from_url(details.url) as client:
        return str(client.config_get("dir")["dir"])


def note_setup(details: Any) -> None:
    """A set-up that counts its runs in the service."""
    import redis

    with redis.Redis.from_url(details.url) as client:
        client.incr("set-up")


def note_layer(details: Any) -> None:
    """A set-up that records its run in the database and in a file."""
    import psycopg

    with psycopg.connect(details.url) as connection:
        connection.execute("create table layer (pid int)")
        connection.execute("insert into layer values (%s)", [os.getpid()])
    with open(os.environ["LAYERS"], "a") as file:
        file.write("x")


def slow_layer(details: Any) -> None:
    """A set-up that waits in the middle, until the file that it makes is removed."""
    note_layer(details)
    waits = Path(os.environ["LAYERS"] + ".waits")
    waits.touch()
    until = time.monotonic() + 30
    while waits.exists() and time.monotonic() < until:
        time.sleep(0.01)


def failing_setup(details: Any) -> None:
    raise LookupError("this set-up always fails")


def set_up_count(details: Any) -> int:
    import redis

    with redis.Redis.from_url(details.url) as client:
        return int(client.get("set-up") or 0)


def slow_failing_setup(details: Any) -> None:
    time.sleep(0.5)
    failing_setup(details)


def slow_setup(details: Any) -> None:
    time.sleep(0.5)
    note_setup(details)


if __name__ == "__main__":
    main()
