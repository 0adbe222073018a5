"""Two programs share one Postgres. The program that started it is killed; the other continues with the same data.

Run it with `python examples/two_scripts.py`. It runs both programs as separate processes.
"""

import os
import signal
import subprocess
import sys
import time

import psycopg

from servicectx import managed


def first() -> None:
    """Start the server, write a row, and stay for an hour."""
    service = managed("postgres", name="two-scripts")
    with service as pg, psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("create table notes (writer int, note text)")
        connection.execute("insert into notes values (%s, 'written by the first')", [os.getpid()])
        show(f"{'joined' if service.joined else 'started'} Postgres on port {pg.port} and wrote a row")
        time.sleep(3600)


def second() -> None:
    """Join the server, and continue after the death of the first program."""
    service = managed("postgres", name="two-scripts")
    with service as pg:
        show(f"{'joined' if service.joined else 'started'} Postgres on port {pg.port}")
        sys.stdin.readline()  # until the first program is dead
        with psycopg.connect(pg.url, autocommit=True) as connection:
            connection.execute("insert into notes values (%s, 'written by the second')", [os.getpid()])
            for writer, note in connection.execute("select writer, note from notes"):
                show(f"read: {note} (process {writer})")
            data = connection.execute("show data_directory").fetchone()[0]
    show(f"left; the data directory is {'STILL THERE' if os.path.exists(data) else 'gone'}: {data}")
    sys.exit(os.path.exists(data))


def show(text: str) -> None:
    print(f"{sys.argv[1]:<6}  {text}", flush=True)


def play() -> int:
    """Start both, kill the first, and let the second continue."""
    script = [sys.executable, __file__]
    starter = subprocess.Popen([*script, "first"], stdout=subprocess.PIPE, text=True)
    print(starter.stdout.readline(), end="")
    joiner = subprocess.Popen([*script, "second"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(joiner.stdout.readline(), end="")
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    print("        SIGKILL to the first program, which started the server")
    rest, _ = joiner.communicate("the first program is dead\n")
    print(rest, end="")
    return joiner.returncode


if __name__ == "__main__":
    sys.exit({"first": first, "second": second}.get("".join(sys.argv[1:]), play)())
