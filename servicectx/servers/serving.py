"""The word that a server of ours says when it serves."""

import sys

SERVING = "servicectx: serving"  # the line of the log that says so


def tell_serving() -> None:
    """Said by the server itself. The socket listens before anybody accepts, so a connection proves nothing."""
    sys.stdout.write(f"{SERVING}\n")
    sys.stdout.flush()
