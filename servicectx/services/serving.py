"""Shared parts of the Python servers in this package: the ready line, and the search path for the user's app."""

import sys

SERVING = "servicectx: serving"  # the line in the log of a server that accepts connections

callers_path: list[str] = []


def find_modules_as_the_caller() -> None:
    """Set the caller's search path, for the user's app. The server itself is imported already."""
    sys.path[:] = callers_path or sys.path


def report_serving() -> None:
    """Report that the server accepts connections. The socket listens earlier, so a connection alone proves nothing."""
    sys.stdout.write(f"{SERVING}\n")
    sys.stdout.flush()
