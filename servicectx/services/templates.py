"""What prepared data depend on, so that a template is made anew when that changes."""

import hashlib
import os
from collections.abc import Iterable


def key(service: str, program: str, depends: Iterable[str]) -> str:
    """The key of a template that `program`, as it is now, makes; `depends` are the other words that matter."""
    status = os.stat(program)
    words = [program, str(status.st_mtime_ns), str(status.st_size), *depends]
    return f"{service}-{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}"
