"""Any program: `managed("command", command=["my-server", "--port", "{port}"])`."""

import os
import re
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from servicectx.errors import InvalidOption
from servicectx.services import binaries, reasons
from servicectx.services.base import Service, inherited
from servicectx.services.options import option_names
from servicectx.services.plan import Plan, Ports, Stop, literal

if TYPE_CHECKING:
    from servicectx.services.command.details import CommandDetails


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """`command`: the program and its arguments. `{port}`, `{host}` and `{dir}` are replaced by the port, address and
    directory of the instance, and `{data}` by the directory that `keep_data` preserves.

    `ready`: `"tcp"`, an HTTP URL, `"log:REGEX"`, or a callable that takes the details and returns true when ready.
    `env`: variables added to the caller's. `stop_signal`: sent at the end; SIGKILL follows after `grace` seconds.
    """

    command: str | Sequence[str] = ()
    ready: str | Callable[..., Any] = "tcp"
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    grace: float = 5.0


class Command(Service["CommandDetails"]):
    """A user's command line, in the caller's working directory and environment."""

    name: ClassVar[str] = "command"
    Options: ClassVar[type] = CommandOptions
    Details: ClassVar[Any] = "servicectx.services.command.details:CommandDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": "logins are the task of the program: give it arguments and variables by command= and env=",
        "password": "logins are the task of the program: give it arguments and variables by command= and env=",
        "dbname": reasons.NO_DATABASES,
        "socket": "the command names the address of the program",
        "version": "the command names the program",
        "flavour": "the command names the program",
    }
    volatile: ClassVar[str] = (
        "its command does not contain {data}, the directory that stays; let the program write there"
    )

    def program(self, options: CommandOptions) -> str:
        arguments = _arguments(options)
        if not arguments:
            raise _invalid("command", 'the command is empty; for example: command=["my-server", "--port", "{port}"]')
        path = os.path.expanduser(arguments[0])
        if os.sep in path:
            search = binaries.Search(service="command", programs=(os.path.basename(path),))
            if not os.access(path, os.X_OK) or os.path.isdir(path):
                raise search.not_found([os.path.abspath(path)], f"{path} is not an executable program")
            return os.path.abspath(path)
        return binaries.find_as_written(binaries.Search(service="command", programs=(path,)))

    def plan(self, options: CommandOptions, program: str, secret: str) -> Plan:
        number = getattr(signal, options.stop_signal, None)
        if not isinstance(number, signal.Signals):
            raise _invalid("stop_signal", f"{options.stop_signal!r} is not the name of a signal, such as SIGTERM")
        arguments = [literal(program), *_arguments(options)[1:]]
        ready = _ready(options.ready)
        if ready["kind"] == "tcp" and "{port}" not in " ".join([*arguments, *options.env.values()]):
            raise _invalid("command", "it does not contain {port}, the port that it must listen on")
        return Plan(
            service=self.name,
            command=arguments,
            environment=inherited(options.env),
            ready=ready,
            ping={"kind": "tcp"} if ready["kind"] in ("tcp", "http") else {"kind": "running"},
            working_directory=literal(os.getcwd()),
            stop=Stop(int(number), options.grace),
            ports=Ports(owned=ready["kind"] in ("tcp", "http")),
        )

    def details(self, options: CommandOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        scheme = urlsplit(options.ready).scheme if isinstance(options.ready, str) else ""
        scheme = scheme if scheme in ("http", "https") else "tcp"
        return {"scheme": scheme, "directory": facts["dir"], "pid": facts["pid"]}

    def check(self, options: CommandOptions, details: "CommandDetails") -> bool:
        return not callable(options.ready) or bool(options.ready(details))


def _arguments(options: CommandOptions) -> list[str]:
    return shlex.split(options.command) if isinstance(options.command, str) else list(options.command)


def _ready(condition: str | Callable[..., Any]) -> dict[str, Any]:
    if callable(condition):
        return {"kind": "running"}
    if condition.startswith("log:"):
        pattern = condition.removeprefix("log:")
        try:
            re.compile(pattern)
        except re.error as error:
            raise _invalid("ready", f"{pattern!r} is not a regular expression: {error}") from None
        return {"kind": "log", "pattern": pattern}
    if condition.startswith(("http://", "https://")):
        return {"kind": "http", "url": condition}
    if condition == "tcp":
        return {"kind": "tcp"}
    raise _invalid("ready", f"{condition!r} is not 'tcp', 'http://...', 'log:REGEX' or a callable")


def _invalid(option: str, problem: str) -> InvalidOption:
    return InvalidOption(service=Command.name, option=option, problem=problem, known=option_names(CommandOptions))
