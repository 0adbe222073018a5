"""The removal of files and directory trees: only this module removes trees.

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

MANY = 64  # directories in one directory; fewer are removed before another process has started
DEPTH = 4  # levels below the removed entry at which such a directory is searched
DEEP = 40  # levels that one pass enters; each level takes a descriptor
REMOVAL_TIMEOUT = 60.0  # seconds after which no further pass begins, even if other processes still add entries
IDLE_PASSES = 100  # successive passes that removed nothing, with a pause after each
PAUSE = 0.01  # seconds
LINUX = sys.platform.startswith("linux")

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove the entry at `path`, of any kind, with its contents. A missing path is not an error.

    No other account may be able to replace the parent directory of `path`.
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
    """Remove the entry `name` of the open directory `parent`, of any kind, with its contents.

    Passes are repeated while other processes add entries. Links are removed, not followed. Mount points, and
    directories that the owner of their parent does not own, are not entered; they stay. No error is raised.
    """
    until = time.monotonic() + REMOVAL_TIMEOUT
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
    """Whether the entry is gone. An entry that is not a directory is removed first."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=parent)  # fails for a directory
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


class _Pass:
    """One walk through a tree; `removed` counts the entries that it removed or moved up."""

    def __init__(self) -> None:
        self.removed = 0

    def remove(self, parent: int, name: str) -> None:
        """Remove the directory `name` of `parent`, as far as possible now."""
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
        """Remove the contents of `directory`. `top` is the highest directory above it with the same owner."""
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
                pass  # another process removed or replaced it; the next pass handles that
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
    """A descriptor of the directory `name`; None where it is missing or must not be entered."""
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
    """Whether no mount point lies between the two, and the owner of `parent` could also empty `directory`."""
    above, below = os.fstat(parent), os.fstat(directory)
    if above.st_dev != below.st_dev or _mount(parent) != _mount(directory):
        return False
    return above.st_uid in (below.st_uid, os.geteuid())


def _mount(directory: int) -> bytes:
    """The id of the mount of a directory (Linux), because a bind mount has the device of its parent."""
    if LINUX:
        try:
            descriptor = os.open(f"/proc/self/fdinfo/{directory}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 4096).partition(b"mnt_id:")[2].partition(b"\n")[0]
        finally:
            os.close(descriptor)
    return b""


def _make_writable(directory: int) -> None:
    with contextlib.suppress(OSError):
        os.fchmod(directory, 0o700)


def _make_readable(parent: int, name: str) -> bool:
    """Make this user's own unreadable directory readable. Return whether that was tried.

    Root only needs this without its capabilities; then a directory of another account stays.
    """
    try:
        if LINUX:
            held = os.open(name, _SEARCH | os.O_NOFOLLOW, dir_fd=parent)
            try:
                os.chmod(f"/proc/self/fd/{held}", 0o700)  # exactly the directory of this descriptor
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
    """Remove the directories of hundreds of databases in several processes."""
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
                        found = [item.name for item in entries if item.is_dir(follow_symlinks=False)]
                except OSError:
                    continue
                if len(found) >= MANY:
                    _remove_side_by_side(directory)
                    return
                below += [(directory, folder) for folder in found]
            row = below


def _remove_side_by_side(directory: int) -> None:
    """Empty a directory of directories with one process for each processor, including this process."""
    import subprocess

    count = os.cpu_count() or 1
    workers = []
    for number in range(1, count):
        command = [sys.executable, "-I", "-S", __file__, str(directory), str(number), str(count)]
        with contextlib.suppress(OSError):  # a later pass of this process removes the share of a missing worker
            workers.append(subprocess.Popen(command, pass_fds=[directory], stdin=subprocess.DEVNULL))
    _remove_share(directory, 0, count)
    for worker in workers:
        worker.wait()


def _remove_share(directory: int, number: int, count: int) -> None:
    """Remove the share of entries of process `number`, by the hash of their names."""
    removal = _Pass()
    for name in os.listdir(directory):
        if zlib.crc32(os.fsencode(name)) % count == number:
            removal.remove(directory, name)


if __name__ == "__main__":
    _remove_share(*map(int, sys.argv[1:]))
