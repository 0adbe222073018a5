"""Two programs share one Postgres. The one that started it is killed; the other goes on, and its data are there.

Run it with `python examples/two_scripts.py`. It plays both programs in processes of their own.
"""

import os
import signal
import subprocess
import sys
import time

import psycopg

from servicectx import managed


def first() -> None:
    """Starts the server, writes, and would stay for an hour."""
    service = managed("postgres", name="two-scripts")
    with service as pg, psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("create table notes (writer int, note text)")
        connection.execute("insert into notes values (%s, 'written by the first')", [os.getpid()])
        say(f"{'joined' if service.joined else 'started'} Postgres on port {pg.port} and wrote a row")
        time.sleep(3600)


def second() -> None:
    """Joins it, sees the first one die, and works on."""
    service = managed("postgres", name="two-scripts")
    with service as pg:
        say(f"{'joined' if service.joined else 'started'} Postgres on port {pg.port}")
        sys.stdin.readline()  # "it is dead"
        with psycopg.connect(pg.url, autocommit=True) as connection:
            connection.execute("insert into notes values (%s, 'written by the second')", [os.getpid()])
            for writer, note in connection.execute("select writer, note from notes"):
                say(f"read: {note} (process {writer})")
            data = connection.execute("show data_directory").fetchone()[0]
    say(f"left; the data directory is {'STILL THERE' if os.path.exists(data) else 'gone'}: {data}")
    sys.exit(os.path.exists(data))


def say(what: str) -> None:
    print(f"{sys.argv[1]:<6}  {what}", flush=True)


def play() -> int:
    """Start both, kill the first, and let the second go on."""
    script = [sys.executable, __file__]
    starter = subprocess.Popen([*script, "first"], stdout=subprocess.PIPE, text=True)
    print(starter.stdout.readline(), end="")
    joiner = subprocess.Popen([*script, "second"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(joiner.stdout.readline(), end="")
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    print("        SIGKILL to the first, which started the server")
    rest, _ = joiner.communicate("it is dead\n")
    print(rest, end="")
    return joiner.returncode


if __name__ == "__main__":
    sys.exit({"first": first, "second": second}.get("".join(sys.argv[1:]), play)())
