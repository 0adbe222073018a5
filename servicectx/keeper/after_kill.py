"""What a killed server could not free by itself, written down, so that its keeper's heirs can free it too."""

import contextlib
from pathlib import Path
from typing import Any

from servicectx.keeper import probes
from servicectx.state.instance import write_private
from servicectx.system.originals import json

FILE = "cleanup.json"


def note(directory: Path, call: dict[str, Any]) -> None:
    """Write down a "call" for the instance in `directory`, which nobody but this user can write. Raises HomeError."""
    write_private(directory / FILE, json.dumps(call))


def run(directory: Path) -> None:
    """Carry out what was written down. Its processes are gone, its data are still there."""
    try:
        call = json.loads((directory / FILE).read_bytes())
    except (OSError, ValueError):
        return
    with contextlib.suppress(Exception):  # a service of another program's own, which is not known here, say
        probes.call(**call)
