"""Output that a shell evaluates: a command line that fails must make `eval "$(servicectx env)" && ...` fail, too."""

import os
from collections.abc import Sequence

SHELLS = ("sh", "bash", "zsh", "fish")
FAILURE = "false"  # in all of these shells a command that fails and does nothing else


def failure(arguments: Sequence[str]) -> str | None:
    """What a failing command line writes for the shell that evaluates it; None where its output is for no shell."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    form = _format(arguments)
    if command == "env":
        return None if form in ("json", "dotenv") else FAILURE
    return FAILURE if command == "up" and form in SHELLS else None


def default_format() -> str:
    """The format of `servicectx env` where none is given: that of $SHELL."""
    return "fish" if os.path.basename(os.environ.get("SHELL", "")) == "fish" else "sh"


def _format(arguments: Sequence[str]) -> str | None:
    """The format that is asked for, as far as an incorrect command line gives one."""
    form = "json" if "--json" in arguments else None
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if name == "--format":
            form = value if equals else following
    return form
