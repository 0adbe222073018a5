"""The Python interpreter for child processes of this library.

`sys.executable` may be None, a missing file, or a program that embeds Python and would misread the arguments.
"""

import os
import re
import sys

PYTHON = re.compile(r"(python|pypy)[-\d.a-z]*", re.IGNORECASE)


class NoInterpreter(Exception):
    """No interpreter was found. `looked`: the checked paths, as text."""

    def __init__(self, looked: list[str]) -> None:
        super().__init__("no Python interpreter was found")
        self.looked = looked


def path() -> str:
    """The program of this interpreter, or of the installation that this process embeds. Raises NoInterpreter."""
    looked = []
    for candidate in _candidates():
        looked.append(candidate or "sys.executable, which is empty")
        if (
            PYTHON.fullmatch(os.path.basename(candidate))
            and os.path.isfile(candidate)
            and os.access(candidate, os.X_OK)
        ):
            return candidate
    raise NoInterpreter(looked)


def _candidates() -> list[str]:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    executable = sys.executable or ""
    base = getattr(sys, "_base_executable", None) or ""
    installed = [
        os.path.join(prefix, "bin", version) for prefix in dict.fromkeys((sys.exec_prefix, sys.base_exec_prefix))
    ]
    return [executable, *([base] if base not in ("", executable) else []), *installed]
