"""A user's own files under the numbers of all descriptors that were open: the library must leave them alone."""

import os
import resource
import tempfile
from pathlib import Path

FIRST = 3  # the first descriptor that is closed

Files = dict[int, os.stat_result]


def replace_descriptors(directory: str | Path) -> Files:
    """Close all descriptors, and open a file below `directory` under each number that was open."""
    numbers = sorted(int(name) for name in os.listdir("/proc/self/fd") if int(name) >= FIRST)
    os.closerange(FIRST, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    files = {}
    for number in numbers:
        made, path = tempfile.mkstemp(dir=directory)
        os.unlink(path)
        if made != number:
            os.dup2(made, number)
            os.close(made)
        os.write(number, b"mine")
        files[number] = os.fstat(number)
    return files


def check(files: Files) -> None:
    """Raise AssertionError if a file was closed, replaced, written or locked."""
    for number, before in files.items():
        try:
            after = os.fstat(number)
        except OSError:
            raise AssertionError(f"descriptor {number} was closed") from None
        assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino), f"descriptor {number} was replaced"
        assert after.st_size == before.st_size, f"the file of descriptor {number} was written"
        assert "lock:" not in Path(f"/proc/self/fdinfo/{number}").read_text(), f"descriptor {number} is locked"


def check_in_child(files: Files) -> None:
    """The same in a forked child."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check(files)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "a forked child closed a file"
