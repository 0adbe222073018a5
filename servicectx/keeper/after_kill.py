"""Cleanup calls for resources that a killed server leaves, in a file that the watchdog and later starts can read."""

import contextlib
from pathlib import Path
from typing import Any

from servicectx.keeper import probes
from servicectx.state.private_file import write_private
from servicectx.system import reading
from servicectx.system.originals import json

FILE = "cleanup.json"


def note(directory: Path, call: dict[str, Any]) -> None:
    """Record a "call" for the instance in `directory`, which only this user can write. Raises HomeError."""
    write_private(directory / FILE, json.dumps(call))


def run(directory: Path) -> None:
    """Run the recorded call. The processes of the instance are gone, its data still exists."""
    try:
        call = reading.read_json(directory / FILE)
    except reading.Unreadable:
        return
    with contextlib.suppress(Exception):  # for example a module that only the caller can import
        probes.call(**call)
