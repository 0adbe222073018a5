"""What servers of ours have in common: the line that one writes when it serves, and where it finds the user's app."""

import sys

SERVING = "servicectx: serving"  # the line of the log that says so

callers_path: list[str] = []


def find_modules_as_the_caller() -> None:
    """For the user's app. The server itself was imported before, with the standard library first on the path."""
    sys.path[:] = callers_path or sys.path


def tell_serving() -> None:
    """Said by the server itself. The socket listens before anybody accepts, so a connection proves nothing."""
    sys.stdout.write(f"{SERVING}\n")
    sys.stdout.flush()
