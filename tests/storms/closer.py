"""A user process that closes all its descriptors and opens files of its own under their numbers.

    python -m tests.storms.closer NAME TIMES DIRECTORY

It prints one JSON object a line: {"did": STEP} for each step, with `error` and `message` where the step failed.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FIRST = 3  # the first descriptor that is closed


def main() -> None:
    name, times, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    import servicectx

    for _ in range(times):
        managed = servicectx.managed("redis", name=name)
        if report("enter", managed.__enter__):
            files = replace_descriptors(directory)
            report("closed", lambda: None)
            report("fork", lambda files=files: fork(files))  # type: ignore[misc]
            report("leave", lambda managed=managed: managed.__exit__(None, None, None))  # type: ignore[misc]
            report("check", lambda files=files: check(files))  # type: ignore[misc]
            for number in files:
                os.close(number)


def report(step: str, function: Callable[[], object]) -> bool:
    began, failure = time.monotonic(), {}
    try:
        function()
    except Exception as error:
        failure = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps({"did": step, "took": time.monotonic() - began, **failure}), flush=True)
    return not failure


def replace_descriptors(directory: Path) -> dict[int, os.stat_result]:
    """Close all descriptors, and open a file under each number that was open."""
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


def check(files: dict[int, os.stat_result]) -> None:
    """Raise AssertionError if a file was closed, replaced, written or locked."""
    for number, before in files.items():
        try:
            after = os.fstat(number)
        except OSError:
            raise AssertionError(f"descriptor {number} was closed") from None
        assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino), f"descriptor {number} was replaced"
        assert after.st_size == before.st_size, f"the file of descriptor {number} was written"
        assert "lock:" not in Path(f"/proc/self/fdinfo/{number}").read_text(), f"descriptor {number} is locked"


def fork(files: dict[int, os.stat_result]) -> None:
    """The files are open in a forked child, too."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check(files)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "a forked child closed a file"


if __name__ == "__main__":
    main()
