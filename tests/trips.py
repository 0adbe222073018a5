"""Count the files and functions that a reader of one operation has to open: a start, a join, a leave, `isolated()`.

python -m tests.trips [SERVICE]
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from servicectx import isolated, managed
from servicectx.client import keeper_link

PACKAGE = str(Path(keeper_link.__file__).parents[1])

# In the keeper: the same count, written to a file at the start report.
IN_KEEPER = """
import json, os, sys
functions = []
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith({package!r}) and not code.co_name.startswith("<"):
        functions.append((code.co_filename, code.co_name))
        if code.co_name == "report":
            with open({output!r}, "w") as file:
                json.dump(functions, file)
sys.setprofile(note)
"""


class Trip:
    """The functions of this package that ran, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    @property
    def files(self) -> list[str]:
        return sorted({os.path.relpath(file, PACKAGE) for file, _ in self.calls})

    @property
    def functions(self) -> int:
        return len(set(self.calls))

    @property
    def changes(self) -> int:
        """How often the file changes from one call to the next."""
        files = [file for file, _ in self.calls]
        return sum(one != other for one, other in pairwise(files))

    def __str__(self) -> str:
        return f"{len(self.files):3} files {self.functions:4} functions {self.changes:4} changes of file"


@contextmanager
def recorded() -> Iterator[Trip]:
    """The trip of the block, in this thread."""
    trip = Trip()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<"):
            trip.calls.append((code.co_filename, code.co_name))

    sys.setprofile(note)
    try:
        yield trip
    finally:
        sys.setprofile(None)


def trips(service: str) -> dict[str, Trip]:
    """All trips of one service, on an instance of its own."""
    found: dict[str, Trip] = {}
    bootstrap = keeper_link._BOOTSTRAP
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "keeper.json"
        code = IN_KEEPER.format(package=PACKAGE, output=str(output))
        keeper_link._BOOTSTRAP = f"exec({code!r}); {bootstrap}"
        try:
            first = managed(service, scope=folder)
            with recorded() as found["start"]:
                details = first.__enter__()
        finally:
            keeper_link._BOOTSTRAP = bootstrap
        found["start, keeper"] = Trip()
        found["start, keeper"].calls = [(file, name) for file, name in json.loads(output.read_text())]
        second = managed(service, scope=folder)
        with recorded() as found["join"]:
            second.__enter__()
        with recorded() as found["leave"]:
            second.__exit__()
        namespace = isolated(details)
        with recorded() as found["isolated"]:
            namespace.__enter__()
        namespace.__exit__()
        first.__exit__()
    return found


def main() -> None:
    for name, trip in trips(*sys.argv[1:] or ["postgres"]).items():
        print(f"{name:14} {trip}")
        print("    ", " ".join(trip.files))


if __name__ == "__main__":
    main()
