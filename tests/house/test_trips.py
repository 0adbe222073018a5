"""The trips of one operation through the package do not grow: `python -m tests.trips` lists their files."""

from tests import trips

MAX_FILES = {"start": 48, "start, keeper": 48, "join": 30, "leave": 12, "isolated": 27}


def test_no_trip_enters_more_files() -> None:
    found = trips.trips("postgres")
    assert found.keys() == MAX_FILES.keys()
    for name, trip in found.items():
        assert len(trip.files) > 5, name
        assert len(trip.files) <= MAX_FILES[name], f"{name}: {trip.files}"
