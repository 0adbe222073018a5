"""Programs that stand in for servers that cannot be had: they take the same arguments, and speak as much of the same
protocol as a service's probe and a few calls of its usual client need. They prove that what servicectx does with such a
server works, as far as its documentation tells the truth; they prove nothing of the server.
"""

import sys
from pathlib import Path


def install(folder: Path, name: str) -> Path:
    """The directory of a program `name` that runs the module of that name here."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {Path(__file__).with_name(name)}.py "$@"\n')
    program.chmod(0o755)
    return folder
