"""Directories where programs write regardless of their settings, compared before and after a start.

Other programs write there at the same time. So a file counts only if it is new, belongs to this user or to an account
of the server, and holds data of this instance: a secret, its directory, or its process id in a file for process ids.
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
MIN_LENGTH = 8  # characters; a shorter secret may occur by chance
KEEPER = b"servicectx.keeper"  # in command lines of keepers: a list of processes names their directories, too


class Surroundings:
    """State of the directories for temporary files and of this user's home, taken from the passwd database.

    `home`: the home of the instances, below a directory of its own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._own = tuple(os.path.realpath(own) for own in (home.parent, paths.cache()))
        self._accounts = {os.geteuid()}
        self._before = {path: status.st_ino for path, status in self._files()}

    def check(self, hidden: Collection[str]) -> None:
        """Check that no new file holds one of the secrets `hidden`, or names an instance. Raises AssertionError."""
        running = privacy.processes(self.home)
        self._accounts |= privacy.accounts(running)
        pids = {str(process.pid).encode() for process in running}
        secrets = [secret.encode() for secret in hidden if len(secret) >= MIN_LENGTH]
        allowed = {os.path.realpath(path) for path in privacy.leftovers(self.home)}
        homes = {str(self.home).encode(), os.path.realpath(self.home).encode()}
        for path, status in self._files():
            new = self._before.get(path) != status.st_ino and path not in allowed
            if new and status.st_uid in self._accounts and status.st_size < SMALL:
                content = _content(path)
                demand(
                    not any(secret in content for secret in secrets), f"no secret lies outside its directory: {path}"
                )
                names_home = any(home in content for home in homes) and KEEPER not in content
                demand(
                    not names_home and not (_is_for_a_pid(path) and content.strip() in pids),
                    f"it writes outside its directory: {path}",
                )

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Files in these directories and one level below; in the user's home only files of hidden directories."""
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
            if looked_into and status.st_dev == os.lstat(place).st_dev:  # another file system may be slow
                yield from (entry for entry in _listed(path) if stat.S_ISREG(entry[1].st_mode))


def _home() -> str | None:
    """Home of this user; None if it is unknown, is `/`, or belongs to another user."""
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
    """Content of a file; empty if the file is gone or not readable."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return file.read(SMALL)
    return b""


def _is_for_a_pid(path: str) -> bool:
    name = os.path.basename(path).lower()
    return "pid" in name or "lock" in name
