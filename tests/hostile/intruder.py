"""A hostile process of a server's account, which swaps directories for links as fast as it can."""

import os
import pwd
import subprocess
import sys
from types import TracebackType
from typing import Self

ACCOUNT = "postgres"
SECONDS = 4.0  # length of a race
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else os.path.realpath(sys.executable)


class Intruder:
    """A context manager that runs scripts as the account, until the end of the block."""

    def __init__(self, account: pwd.struct_passwd) -> None:
        self._account = account
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def start(self, script: str, *arguments: object) -> "subprocess.Popen[str]":
        """Start a script, and wait until it has printed a line."""
        process = subprocess.Popen(
            [PYTHON, "-I", "-c", script, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            user=self._account.pw_uid,
            group=self._account.pw_gid,
            extra_groups=[],
        )
        self._running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline(), "the script of the intruder failed"
        return process

    def run(self, script: str, *arguments: object) -> str:
        """Run a script to its end; its output."""
        process = self.start(script, *arguments)
        assert process.stdout is not None
        return process.stdout.read()


# Swap a directory and a link under one name, for ever, at random intervals.
SWAP = """
import os, random, sys, time
name, meant, elsewhere = sys.argv[1:]
aside, link = elsewhere + "/aside", elsewhere + "/link"
os.symlink(meant, link)
print("ready", flush=True)
while True:
    for first, second in (((name, aside), (link, name)), ((name, link), (aside, name))):
        for source, target in (first, second):
            try:
                os.rename(source, target)
            except OSError:
                pass
        time.sleep(random.random() * 0.003)
"""

# Fill a tree with directories of files, so that its removal takes a while. The scripts that follow use `inside`.
FILL = """
import os, random, sys, time
FILES = {files}
tree, victim = sys.argv[1:3]
inside = tree + "/aaa"
os.mkdir(inside)
for name in range(64):
    os.mkdir(f"{{inside}}/{{name}}")
    for file in range(FILES):
        os.close(os.open(f"{{inside}}/{{name}}/{{file}}", os.O_CREAT | os.O_WRONLY))
print("ready", flush=True)
"""
