"""The trips of one operation through the package do not grow: `python -m tests.trips` lists their files."""

from servicectx import managed
from tests import trips

# A little above the count: a start on a machine under load retries, and enters a few files more.
MAX_FILES = {"start": 60, "start, keeper": 58, "join": 36, "leave": 14, "isolated": 31}


def test_no_trip_enters_more_files() -> None:
    with managed("postgres"):
        pass  # the cache has the template now: a start that makes it enters more files
    found = trips.trips("postgres")
    assert found.keys() == MAX_FILES.keys()
    for name, trip in found.items():
        assert len(trip.files) > 5, name
        assert len(trip.files) <= MAX_FILES[name], f"{name}: {trip.files}"
