"""The magic `%service`: services that stay from cell to cell, until the kernel ends."""

import keyword
import shlex
from typing import Any

from servicectx._api import managed
from servicectx._managed import Managed
from servicectx.request import durations

USAGE = """%service [--linger TIME] [--scope SCOPE] [NAME=]SERVICE ...
%service --stop [NAME ...]

  %service postgres                  start or join Postgres; its details are in the variable postgres
  %service orders=postgres redis     two services; a name is the role of the service, and its variable
  %service --linger 2h postgres      the server stays for two hours after the kernel
  %service                           list the services of this kernel
  %service --stop postgres           leave it now; without a name, leave all"""


class ServiceMagic:
    """The services of one kernel, by variable."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._held: dict[str, Managed[Any]] = {}

    def run(self, line: str) -> None:
        """Execute one line of `%service`. Raises UsageError, and the errors of `managed()`."""
        words, arguments = _options(line)
        if arguments.pop("stop", False):
            self._stop(words)
        elif words:
            pairs = [_pair(word) for word in words]
            for variable, service in pairs:
                self._enter(variable, service, arguments)
        else:
            for variable in self._held:
                self._report(variable)

    def leave(self) -> None:
        """Leave all services. Their variables stay."""
        while self._held:
            self._held.popitem()[1].__exit__(None, None, None)

    def _enter(self, variable: str, service: str, arguments: dict[str, Any]) -> None:
        """Enter first and leave the previous one afterwards: a running instance keeps its data."""
        name = None if variable == service.replace("-", "_") else variable
        entered = managed(service, name=name, **arguments)
        details = entered.__enter__()
        previous, self._held[variable] = self._held.get(variable), entered
        self._shell.push({variable: details})
        if previous is not None:
            previous.__exit__(None, None, None)
        self._report(variable)

    def _stop(self, variables: list[str]) -> None:
        for variable in variables:
            if variable not in self._held:
                known = ", ".join(self._held) or "none"
                raise _usage_error(f"%service --stop {variable}: the services of this kernel are: {known}")
        for variable in dict.fromkeys(variables or self._held):
            held = self._held.pop(variable)
            held.__exit__(None, None, None)
            self._shell.drop_by_id({variable: held.details})  # not a value that the user assigned
            print(f"{variable}: left")

    def _report(self, variable: str) -> None:
        held = self._held[variable]
        if held.external:
            state = "details from outside"
        elif not held.alive:
            state = f"ended; run %service {variable} to start it again"
        else:
            state = f"{'joined' if held.joined else 'started'} in {held.took:.1f} s"
        details = held.details
        print(f"{variable}: {state}, {details.host}:{details.port}" if details else f"{variable}: {state}")


def load_ipython_extension(shell: Any) -> None:
    """Add `%service` to this shell; IPython calls it for `%load_ext servicectx`. A second call adds nothing.

    Raises UsageError where another extension has added a magic of that name.
    """
    present = shell.magics_manager.magics["line"].get("service")
    if present is not None and not isinstance(getattr(present, "magic", None), ServiceMagic):
        raise _usage_error("another extension has the line magic %service; unload it first")
    if present is None:
        magic = ServiceMagic(shell)

        def service(line: str) -> None:
            magic.run(line)

        service.__doc__ = USAGE
        service.magic = magic  # type: ignore[attr-defined]  # for the end of the extension
        shell.register_magic_function(service, "line", "service")


def unload_ipython_extension(shell: Any) -> None:
    """Leave all services and remove `%service`; IPython calls it for `%unload_ext servicectx`."""
    magics = shell.magics_manager.magics["line"]
    magic = getattr(magics.get("service"), "magic", None)
    if isinstance(magic, ServiceMagic):  # not the magic of another extension
        del magics["service"]
        magic.leave()


def _options(line: str) -> tuple[list[str], dict[str, Any]]:
    """The words that name services, and the options."""
    words: list[str] = []
    arguments: dict[str, Any] = {}
    rest = iter(shlex.split(line))
    for word in rest:
        option, equals, value = word.partition("=")
        if option == "--stop":
            arguments["stop"] = True
        elif option in ("--linger", "--scope"):
            value = value if equals else next(rest, "")
            if not value:
                raise _usage_error(f"%service {option}: a value is missing\n\n{USAGE}")
            arguments[option.removeprefix("--")] = _linger(value) if option == "--linger" else value
        elif word.startswith("-"):
            raise _usage_error(f"%service: unknown option {word!r}\n\n{USAGE}")
        else:
            words.append(word)
    return words, arguments


def _linger(text: str) -> float:
    try:
        return durations.seconds(text)
    except ValueError as error:
        raise _usage_error(f"%service --linger: {error}") from None


def _pair(word: str) -> tuple[str, str]:
    """The variable and the service."""
    variable, equals, service = word.partition("=")
    if not equals:
        variable, service = word.replace("-", "_"), word
    if not variable.isidentifier() or keyword.iskeyword(variable) or not service:
        raise _usage_error(f"%service {word}: {variable!r} is not a variable; write NAME=SERVICE, as in db=postgres")
    return variable, service


def _usage_error(message: str) -> Exception:
    from IPython.core.error import UsageError

    return UsageError(message)
