"""Where programs like to write whatever they are told, looked at before an instance is there, and when it is.

Others write there at the same time, so a file counts only if it is new, belongs to this user or to an account that the
server runs as, and holds what this instance alone knows: a secret, its directory, or its process id in a file for that.
"""

import contextlib
import os
import pwd
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from servicectx.state import paths
from servicectx.testing import privacy
from servicectx.testing.privacy import SMALL, demand

PLACES = ("/tmp", "/var/tmp", "/dev/shm")
TELLING = 8  # characters from which on a secret is not met by chance
KEEPER = b"servicectx.keeper"  # on command lines of keepers: who lists processes writes of directories too


class Surroundings:
    """The places for temporary files, and this user's home by the passwd database, as they are now.

    `home` is where instances live in a directory that was made for them.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._own = tuple(os.path.realpath(own) for own in (home.parent, paths.cache()))
        self._accounts = {os.geteuid()}
        self._before = {path: status.st_ino for path, status in self._files()}

    def check(self, hidden: Collection[str]) -> None:
        """That no new file holds one of the secrets `hidden`, or speaks of an instance. Raises AssertionError."""
        running = privacy.processes(self.home)
        self._accounts |= privacy.accounts(running)
        pids = {str(process.pid).encode() for process in running}
        secrets = [secret.encode() for secret in hidden if len(secret) >= TELLING]
        allowed = {os.path.realpath(path) for path in privacy.leavings(self.home)}
        homes = {str(self.home).encode(), os.path.realpath(self.home).encode()}
        for path, status in self._files():
            new = self._before.get(path) != status.st_ino and path not in allowed
            if new and status.st_uid in self._accounts and status.st_size < SMALL:
                told = _content(path)
                demand(not any(secret in told for secret in secrets), f"no secret lies outside its directory: {path}")
                speaks = any(home in told for home in homes) and KEEPER not in told
                demand(
                    not speaks and not (_is_for_a_pid(path) and told.strip() in pids),
                    f"it writes outside its directory: {path}",
                )

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """The files in these places and, but for what a user keeps in the open at home, one level below."""
        for place in dict.fromkeys(os.path.realpath(place) for place in (*PLACES, self.home.parents[1])):
            yield from self._inside(place, "")
        if home := _home():
            yield from self._inside(home, ".")

    def _inside(self, place: str, start: str) -> Iterator[tuple[str, os.stat_result]]:
        for path, status in _listed(place):
            if path in self._own:
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, status
            looked_into = stat.S_ISDIR(status.st_mode) and os.path.basename(path).startswith(start)
            if looked_into and status.st_dev == os.lstat(place).st_dev:  # what is mounted may take long
                yield from (each for each in _listed(path) if stat.S_ISREG(each[1].st_mode))


def _home() -> str | None:
    """None for a user without one: unknown, or with a directory that belongs to somebody else or holds everything."""
    with contextlib.suppress(KeyError, OSError):
        place = os.path.realpath(pwd.getpwuid(os.geteuid()).pw_dir)
        if place != "/" and os.stat(place).st_uid == os.geteuid():
            return place
    return None


def _listed(place: str) -> Iterator[tuple[str, os.stat_result]]:
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.path, entry.stat(follow_symlinks=False)


def _content(path: str) -> bytes:
    """Nothing where it is gone, or not to be read."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return file.read(SMALL)
    return b""


def _is_for_a_pid(path: str) -> bool:
    name = os.path.basename(path).lower()
    return "pid" in name or "lock" in name
