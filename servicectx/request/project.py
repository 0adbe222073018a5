"""The directory of a project: the default scope, the base of `depends`, and the base of paths in fingerprints."""

import os
from pathlib import Path

PROJECT_MARKS = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", ".git", ".hg")


def project(directory: str = "") -> Path:
    """The project directory at or above `directory` (default: the working directory); else `directory` itself.

    Raises FileNotFoundError: the working directory was removed.
    """
    here = Path(directory) if os.path.isabs(directory) else Path.cwd() / directory
    for parent in (here, *here.parents):
        if any((parent / mark).exists() for mark in PROJECT_MARKS):
            return parent
    return here
