"""A round in a private mount namespace, whose file system is full or read-only for moments.

    unshare --mount --propagation private python -m tests.storms.mounted PLACE CHANGE SEED SECONDS USERS

It prints the tally as JSON in its last line. Do not run it without `unshare`.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.detector import Home
from tests.storms.round import Key, Round
from tests.storms.tally import Tally

SIZE = "6m"
KEYS = (Key("redis", "a"), Key("redis", "b"))
AFTER = 2.0  # seconds; errors of a start that met the change
NAMES = {"full": "full-homes", "read-only": "read-only-homes"}


class Mounted:
    """A tmpfs at `place`/fs with the home of a round."""

    def __init__(self, place: Path, seed: int, seconds: float, users: int) -> None:
        if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
            raise SystemExit("this program changes mounts: run it in a mount namespace of its own")
        self.fs, self.cover = place / "fs", place / "cover"
        self.fs.mkdir()
        self.cover.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"mode=755,size={SIZE}", "none", str(self.fs))
        self.round = Round(Tally(), seed, seconds, users, home=Home(self.fs), keys=KEYS)

    def change(self, kind: str) -> None:
        """Until the end of the round: change the file system for a moment, and undo it."""
        moment = {"full": self.full, "read-only": self.read_only}[kind]
        while time.monotonic() < self.round.until:
            time.sleep(0.3 + self.round.random.random())
            with self.round.disturbed(AFTER), moment():
                self.round.tally.hazards[NAMES[kind]] += 1
                time.sleep(self.round.random.random() * 1.5)
        self.round.victims["a"] |= {"keeper", "watchdog"}  # files may wait for the next user

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        files = [self.fs / "large", self.fs / "small"]
        for path, size in zip(files, (65536, 512), strict=True):
            with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(size))
        yield
        for path in files:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Open files keep a mount writable, so a second mount covers it: paths then lead to a read-only file system."""
        run("mount", "--bind", str(self.fs), str(self.cover))
        run("mount", "-o", "remount,bind,ro", str(self.cover))
        run("mount", "--move", str(self.cover), str(self.fs))
        yield
        run("umount", "--lazy", str(self.fs))


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> None:
    place, kind, seed, seconds, users = sys.argv[1:]
    mounted = Mounted(Path(place), int(seed), float(seconds), int(users))
    mounted.round.run(lambda: mounted.change(kind))
    run("umount", "--lazy", str(mounted.fs))
    print(json.dumps(mounted.round.tally.as_dict()), flush=True)


if __name__ == "__main__":
    main()
