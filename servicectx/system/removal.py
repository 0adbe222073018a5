"""The removal of files and directory trees: the only place that removes trees.

A tree may belong to the account of a server, and processes of that account may change it meanwhile. So every step is
relative to an open directory, and no link is followed. Below a directory that belongs to another account, only
directories of that account are entered: that account could have moved a directory of root's there.

Large trees are removed by several processes. Each runs this file as a script, which imports nothing of the package.
"""

import contextlib
import os
import stat
import sys
import zlib
from pathlib import Path

if __name__ == "__main__":
    import time
else:
    from servicectx.system.originals import time

MANY = 64  # directories in one directory: fewer are removed before another process has begun
DEPTH = 4  # levels below the removed entry at which a directory with so many directories is looked for
DEEP = 40  # levels that are entered in one pass: each takes a descriptor
PATIENCE = 60.0  # seconds after which no further pass begins, while other processes go on adding entries
IDLE_PASSES = 100  # passes in a row that removed nothing, a pause after each
PAUSE = 0.01  # seconds
LINUX = sys.platform.startswith("linux")

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove `path`, whatever it is, with all that is in it. A path that does not exist is not an error.

    The directory that holds `path` must be one that no other account can replace.
    """
    try:
        parent = os.open(path.parent, _SEARCH)
    except OSError:
        return
    try:
        remove_entry(parent, path.name)
    finally:
        os.close(parent)


def remove_entry(parent: int, name: str) -> None:
    """Remove the entry `name` of the open directory `parent`, with all that is in it, whatever it is.

    Passes are repeated while other processes add entries. Links are removed, not followed. Mount points are not
    entered, nor directories that the account of their parent does not own; these stay. No error is raised.
    """
    until = time.monotonic() + PATIENCE
    idle = 0
    shared = False
    while idle < IDLE_PASSES and not _is_removed(parent, name):
        if not shared:
            shared = True
            _share_work(parent, name)
        removal = _Pass()
        removal.remove(parent, name)
        if removal.removed:
            idle = 0
        elif _is_removed(parent, name):
            return
        else:
            idle += 1
            time.sleep(PAUSE)
        if time.monotonic() > until:
            return


def _is_removed(parent: int, name: str) -> bool:
    """Whether there is no such entry; what is not a directory is removed at once."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=parent)  # a directory refuses this
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


class _Pass:
    """One walk through a tree; `removed` counts the entries that are gone or moved up because of it."""

    def __init__(self) -> None:
        self.removed = 0

    def remove(self, parent: int, name: str) -> None:
        """Remove the directory `name` of `parent`, as far as that is possible now."""
        directory = _enter(parent, name)
        if directory is not None:
            try:
                self.empty(directory, directory, 0)
            finally:
                os.close(directory)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=parent)
            self.removed += 1

    def empty(self, directory: int, top: int, depth: int) -> None:
        """Remove what is in `directory`. `top` is the highest directory above it that has the same owner."""
        try:
            with os.scandir(directory) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            return
        unlink, removed, refused = os.unlink, 0, []
        for name, is_directory in found:
            if is_directory:
                self._remove_below(directory, name, top, depth)
                continue
            try:
                unlink(name, dir_fd=directory)
                removed += 1
            except PermissionError:
                refused.append(name)
            except OSError:
                pass  # another process removed it, or made it a directory: the next pass sees to it
        if refused:
            _make_writable(directory)
        for name in refused:
            with contextlib.suppress(OSError):
                unlink(name, dir_fd=directory)
                removed += 1
        self.removed += removed

    def _remove_below(self, directory: int, name: str, top: int, depth: int) -> None:
        if depth >= DEEP:
            with contextlib.suppress(OSError):
                os.rename(name, f".deep-{os.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=top)
                self.removed += 1
            return
        below = _enter(directory, name)
        if below is not None:
            try:
                same = os.fstat(below).st_uid == os.fstat(directory).st_uid
                self.empty(below, top if same else below, depth + 1)
            finally:
                os.close(below)
        try:
            os.rmdir(name, dir_fd=directory)
            self.removed += 1
        except PermissionError:
            _make_writable(directory)
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=directory)
                self.removed += 1
        except OSError:
            pass


def _enter(parent: int, name: str) -> int | None:
    """A descriptor of the directory `name`; None where there is none, or where it must not be entered."""
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        if not _make_readable(parent, name):
            return None
        try:
            directory = os.open(name, _DIRECTORY, dir_fd=parent)
        except OSError:
            return None
    except OSError:
        return None
    if _may_be_emptied(parent, directory):
        return directory
    os.close(directory)
    return None


def _may_be_emptied(parent: int, directory: int) -> bool:
    """Whether no mount point lies between the two, and whether the owner of `parent` could empty `directory`, too."""
    above, below = os.fstat(parent), os.fstat(directory)
    if above.st_dev != below.st_dev or _mount(parent) != _mount(directory):
        return False
    return above.st_uid in (below.st_uid, os.geteuid())


def _mount(directory: int) -> bytes:
    """The number of the mount that a directory was reached through (Linux): a bind mount has its parent's device."""
    if LINUX:
        try:
            facts = os.open(f"/proc/self/fdinfo/{directory}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(facts, 4096).partition(b"mnt_id:")[2].partition(b"\n")[0]
        finally:
            os.close(facts)
    return b""


def _make_writable(directory: int) -> None:
    with contextlib.suppress(OSError):
        os.fchmod(directory, 0o700)


def _make_readable(parent: int, name: str) -> bool:
    """Let this user read a directory of its own that forbids it. Whether that was tried.

    Root need not, unless it lacks the capabilities: then a directory of another account stays.
    """
    try:
        if LINUX:
            held = os.open(name, _SEARCH | os.O_NOFOLLOW, dir_fd=parent)
            try:
                os.chmod(f"/proc/self/fd/{held}", 0o700)  # the very directory that `held` holds
            finally:
                os.close(held)
            return True
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if os.geteuid() != 0 and stat.S_ISDIR(status.st_mode):
            os.chmod(name, 0o700, dir_fd=parent)
            return True
    except OSError:
        pass
    return False


# -- several processes ---------------------------------------------------------------------------------------------


def _share_work(parent: int, name: str) -> None:
    """Where hundreds of databases have a directory each: let several processes remove these."""
    with contextlib.ExitStack() as stack:
        row = [(parent, name)]
        for _ in range(DEPTH):
            below: list[tuple[int, str]] = []
            for above, entry in row[:MANY]:
                directory = _enter(above, entry)
                if directory is None:
                    continue
                stack.callback(os.close, directory)
                try:
                    with os.scandir(directory) as entries:
                        found = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
                except OSError:
                    continue
                if len(found) >= MANY:
                    _remove_side_by_side(directory)
                    return
                below += [(directory, each) for each in found]
            row = below


def _remove_side_by_side(directory: int) -> None:
    """Empty a directory of directories, in as many processes as there are processors, this one among them."""
    import subprocess

    count = os.cpu_count() or 1
    workers = []
    for number in range(1, count):
        command = [sys.executable, "-I", "-S", __file__, str(directory), str(number), str(count)]
        with contextlib.suppress(OSError):  # without it, a later pass of this process does its part
            workers.append(subprocess.Popen(command, pass_fds=[directory], stdin=subprocess.DEVNULL))
    _remove_share(directory, 0, count)
    for worker in workers:
        worker.wait()


def _remove_share(directory: int, number: int, count: int) -> None:
    """Remove the entries whose names fall to the process with that number."""
    removal = _Pass()
    for name in os.listdir(directory):
        if zlib.crc32(os.fsencode(name)) % count == number:
            removal.remove(directory, name)


if __name__ == "__main__":
    _remove_share(*map(int, sys.argv[1:]))
