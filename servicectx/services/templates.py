"""The key of prepared data: a template is made again when its key changes."""

import hashlib
import os
from collections.abc import Iterable


def key(service: str, program: str, depends: Iterable[str]) -> str:
    """The key of a template made by the current `program`. `depends` holds the other texts that it depends on."""
    status = os.stat(program)
    parts = [program, str(status.st_mtime_ns), str(status.st_size), *depends]
    return f"{service}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
