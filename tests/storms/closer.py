"""A user process that closes all its descriptors and opens files of its own under their numbers.

    python -m tests.storms.closer NAME TIMES DIRECTORY

It prints one JSON object a line: {"did": STEP} for each step, with `error` and `message` where the step failed.
"""

import json
import os
import sys
import time
from collections.abc import Callable

from tests.caller.own_files import check, check_in_child, replace_descriptors


def main() -> None:
    name, times, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    import servicectx

    for _ in range(times):
        managed = servicectx.managed("redis", name=name)
        if report("enter", managed.__enter__):
            files = replace_descriptors(directory)
            report("closed", lambda: None)
            report("fork", lambda files=files: check_in_child(files))  # type: ignore[misc]
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


if __name__ == "__main__":
    main()
