"""Output that a shell evaluates. A command line that fails must make `eval "$(servicectx env)" && ...` fail, too."""

import os
from collections.abc import Sequence

SHELLS = ("sh", "bash", "zsh", "fish")
FILES = ("json", "dotenv", "docker", "github")
FAILURE = "false"  # in all of these shells a command that fails and does nothing else
POWERSHELL_FAILURE = "throw 'servicectx failed'"  # ends the Invoke-Expression that evaluates it


def failure(arguments: Sequence[str]) -> str | None:
    """Output of a failed command line for the shell that evaluates it; None if its output is not for a shell."""
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    form = _format(arguments)
    if command not in ("env", "up") or any(argument.partition("=")[0] == "--output" for argument in arguments):
        return None
    if form == "powershell":
        return POWERSHELL_FAILURE
    if command == "env":
        return None if form in FILES else FAILURE
    return FAILURE if form in SHELLS else None


def default_format() -> str:
    """Default format of `servicectx env`, by $SHELL."""
    return "fish" if os.path.basename(os.environ.get("SHELL", "")) == "fish" else "sh"


def _format(arguments: Sequence[str]) -> str | None:
    """The requested format, as far as an incorrect command line gives one."""
    form = "json" if "--json" in arguments else None
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        name, equals, value = argument.partition("=")
        if name == "--format":
            form = value if equals else following
    return form
