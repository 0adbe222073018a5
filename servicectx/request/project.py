"""The directory of a project: the default scope, the base of `depends`, and the base of paths in fingerprints."""

import os
from pathlib import Path

PROJECT_MARKS = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", ".git", ".hg")


def project(directory: str = "") -> Path:
    """The project directory at or above `directory` (default: the working directory); else `directory` itself.

    Raises FileNotFoundError: the working directory was removed.
    """
    here = os.path.join(os.getcwd(), directory).rstrip("/") or "/"  # texts: every join calls this function
    parent = here
    while not any(os.path.exists(f"{parent}/{mark}") for mark in PROJECT_MARKS):
        above = os.path.dirname(parent)
        if above == parent:
            return Path(here)
        parent = above
    return Path(parent)
