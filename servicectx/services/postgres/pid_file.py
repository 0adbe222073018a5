"""The file postmaster.pid in a data directory: src/include/utils/pidfile.h."""

from servicectx.system import directories
from servicectx.system.originals import open

NAME = "postmaster.pid"
SIZE = 8192  # bytes


def read(folder: int) -> list[str]:
    """The lines of the file in an open directory; none without a regular file."""
    try:
        descriptor = directories.open_file(NAME, folder)
    except OSError:
        return []
    with open(descriptor, errors="replace") as file:
        return file.read(SIZE).splitlines()


def read_at(data: str) -> list[str]:
    """As `read`, for the path of the directory."""
    try:
        with directories.reached(data) as folder:
            return read(folder)
    except OSError:
        return []
