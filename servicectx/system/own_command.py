"""The command of this process, for people."""

import os
import sys

LONGEST_CODE = 60  # letters of code on the command line


def own_command() -> list[str]:
    """This process for people: `["shop.py", "-v"]`, `["python", "-m", "shop"]`, `["pytest", "worker gw0"]`.

    `sys.argv` alone has "-c" for code on the command line, and the path of a file for a module.
    """
    words = list(getattr(sys, "argv", None) or [""])
    program, arguments = words[0], words[1:]
    specification = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = getattr(specification, "name", "__main__").removesuffix(".__main__")
    if module != "__main__":
        return ["python", "-m", module, *arguments]
    if program == "-c":
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if worker and "execnet" in sys.modules:  # a worker itself, not a program that it started
            return ["pytest", f"worker {worker}"]
        return ["python", "-c", _code(), *arguments]
    return ["python", *arguments] if program in ("", "-") else words


def _code() -> str:
    """The first line of the code on the command line."""
    words = sys.orig_argv
    code = words[words.index("-c") + 1] if "-c" in words[:-1] else ""
    first = next((line.strip() for line in code.splitlines() if line.strip()), "")
    return first if len(first) <= LONGEST_CODE else f"{first[:LONGEST_CODE]}..."
