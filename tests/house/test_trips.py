"""The trips of one operation through the package do not grow: `python -m tests.trips` lists their files."""

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from servicectx import Managed, managed
from tests import trips

# A little above the count: a start on a machine under load retries, and enters a few files more.
MAX_FILES = {"start": 63, "start, keeper": 59, "join": 39, "leave": 14, "isolated": 31}


def test_no_trip_enters_more_files() -> None:
    with managed("postgres"):
        pass  # the cache has the template now: a start that makes it enters more files
    found = trips.trips("postgres")
    assert found.keys() == MAX_FILES.keys()
    for name, trip in found.items():
        assert len(trip.files) > 5, name
        assert len(trip.files) <= MAX_FILES[name], f"{name}: {trip.files}"


def test_a_join_opens_few_files_and_connects_once() -> None:
    """The home and its marker, the state file twice, a lease, the keeper's lock, the processes, the server's /proc."""
    second = managed("redis")
    with managed("redis"), second:
        pass
    with managed("redis"):
        counted = min(
            (_calls_of_a_join(second) for _ in range(3)), key=lambda calls: calls.total()
        )  # a ping may repeat
    assert counted["open"] <= 8, counted
    assert (counted["connect"], counted["decode"]) == (1, 1), counted


def _calls_of_a_join(user: Managed[Any]) -> Counter[str]:
    """The calls of the kernel that open and connect, and the calls that decode the state file."""
    counted: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ in ("open", "connect"):
            counted[argument.__name__] += 1
        elif (
            event == "call" and Path(frame.f_code.co_filename).name == "record.py" and frame.f_code.co_name == "decode"
        ):
            counted["decode"] += 1

    sys.setprofile(note)
    try:
        user.__enter__()
    finally:
        sys.setprofile(None)
    user.__exit__()
    return counted
