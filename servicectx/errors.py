"""The errors of servicectx: each message states the problem and its cure.

Every error has its data as attributes, and survives pickling. `record` and `from_record` write it into a state file
and raise it again in another process.
"""

from typing import Any, ClassVar


class ServiceCtxError(Exception):
    """The base of every error that servicectx raises.

    A subclass names its attributes in `fields` and builds its text in `message()`.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **data: Any) -> None:
        for field in self.fields:
            setattr(self, field, data.pop(field, None))
        if data:
            raise TypeError(f"{type(self).__name__} does not take {', '.join(data)}")
        super().__init__(self.message())

    def message(self) -> str:
        return type(self).__name__

    @property
    def data(self) -> dict[str, Any]:
        """The attributes that belong to this error, as plain data."""
        return {field: getattr(self, field) for field in self.fields}

    def record(self) -> dict[str, Any]:
        """This error as JSON-ready data, for `from_record`."""
        return {"error": type(self).__name__, "data": self.data}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.data)


def _rebuild(kind: type[ServiceCtxError], data: dict[str, Any]) -> ServiceCtxError:
    return kind(**data)


def from_record(record: dict[str, Any]) -> ServiceCtxError:
    """The error that `record()` wrote, perhaps in another process."""
    kind = globals()[record["error"]]
    error = kind(**record["data"])
    assert isinstance(error, ServiceCtxError)
    return error


def _lines(title: str, items: Any) -> str:
    return "".join([f"\n{title}", *(f"\n  {item}" for item in items)]) if items else ""


def _tail(log_tail: str | None) -> str:
    return _lines("the last lines of its log:", (log_tail or "").splitlines())


_GIVE_PATH = "\ngive the path of the program, or add its directory to PATH"


class UnknownService(ServiceCtxError):
    """No service of this name is registered. Attributes: `service`, `known`, and `instead`, or None."""

    fields = ("service", "known", "instead")
    service: str
    known: list[str]
    instead: str | None

    def message(self) -> str:
        from difflib import get_close_matches

        close = get_close_matches(self.service, self.known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        if self.instead:
            guess = f" {self.instead!r} replaces it."
        return (
            f"no service is called {self.service!r}.{guess} Known: {', '.join(self.known)}. "
            'Any other program can be run with managed("command", command=[...]); '
            "servicectx.register(...) adds a service of your own."
        )


class InvalidOption(ServiceCtxError):
    """An option or an argument is unknown or has a bad value. Attributes: `service`, `option`, `problem`, `known`.

    `known` lists the options of the service. It is None where `option` is an argument of `managed()`.
    """

    fields = ("service", "option", "problem", "known")
    service: str
    option: str
    problem: str
    known: list[str] | None

    def message(self) -> str:
        if self.known is None:
            return f"{self.service}: argument {self.option!r}: {self.problem}"
        known = ", ".join(self.known) if self.known else "none"
        return f"{self.service}: option {self.option!r}: {self.problem} (options of {self.service}: {known})"


class BinaryNotFound(ServiceCtxError):
    """The server's program was not found. Attributes: `service`, `binary`, `looked`, `install`, `problem`."""

    fields = ("service", "binary", "looked", "install", "problem")
    service: str
    binary: str
    looked: list[str]
    install: dict[str, str]
    problem: str | None

    def message(self) -> str:
        width = max(map(len, self.install or [""])) + 2
        cures = [f"{tool + ':':{width}}{command}" for tool, command in (self.install or {}).items()]
        variable = f"SERVICECTX_{self.service.upper()}_BIN"
        return (
            f"{self.service}: {self.problem or f'no program {self.binary!r} was found'}"
            + _lines("looked at:", self.looked)
            + _lines("install it with one of:", cures)
            + (f"\nor set {variable} to the program or to the directory that holds it" if cures else _GIVE_PATH)
        )


class StartFailed(ServiceCtxError):
    """The service did not start. Attributes: `service`, `name`, `reason`, `command`, `exit_status`, `log_tail`."""

    fields: ClassVar[tuple[str, ...]] = ("service", "name", "reason", "command", "exit_status", "log_tail")
    service: str
    name: str
    reason: str
    command: str | None
    exit_status: int | None
    log_tail: str | None

    def message(self) -> str:
        command = f"\ncommand: {self.command}" if self.command else ""
        status = "" if self.exit_status is None else f"\nexit status: {self.exit_status}"
        return f"{_called(self.service, self.name)} did not start: {self.reason}{command}{status}{_tail(self.log_tail)}"


class PortInUse(StartFailed):
    """A chosen port is in use. Attributes: those of `StartFailed`, and `port`, `pid`, `owner`, `instance`.

    `pid` and `owner` are the process that has the port and its command; None where this user cannot see the process.
    `instance` is the key of the instance of servicectx that has the port, or None.
    """

    fields = (*StartFailed.fields, "port", "pid", "owner", "instance")
    port: int
    pid: int | None
    owner: str | None
    instance: str | None


class StartTimeout(ServiceCtxError):
    """The start timed out. Attributes: `service`, `name`, `timeout`, `waited`, `waiting_for`, `command`, `log_tail`.

    `timeout` is the limit and `waited` the time that passed, in seconds. `waited` is None where both are equal.
    """

    fields = ("service", "name", "timeout", "waited", "waiting_for", "command", "log_tail")
    service: str
    name: str
    timeout: float
    waited: float | None
    waiting_for: str
    command: str | None
    log_tail: str | None

    def message(self) -> str:
        command = f"\ncommand: {self.command}" if self.command else ""
        differs = self.waited is not None and abs(self.waited - self.timeout) > 0.2
        waited = f" (this process waited {self.waited:.3g} s)" if differs else ""
        return (
            f"{_called(self.service, self.name)} was not usable within {self.timeout:g} s{waited}: {self.waiting_for}"
            f"{command}{_tail(self.log_tail)}\nallow more with timeout=SECONDS or SERVICECTX_TIMEOUT"
        )


class ServiceDied(ServiceCtxError):
    """A running service died while in use. Attributes: `service`, `name`, `reason`, `exit_status`, `log_tail`."""

    fields = ("service", "name", "reason", "exit_status", "log_tail")
    service: str
    name: str
    reason: str
    exit_status: int | None
    log_tail: str | None

    def message(self) -> str:
        return f"{_called(self.service, self.name)} died while it was in use: {self.reason}{_tail(self.log_tail)}"


class SetupFailed(ServiceCtxError):
    """The set-up failed. Attributes: `service`, `name`, `setup`, `problem`, `traceback`.

    In the process that ran the set-up, `__cause__` is the original exception.
    """

    fields = ("service", "name", "setup", "problem", "traceback")
    service: str
    name: str
    setup: str
    problem: str
    traceback: str | None

    def message(self) -> str:
        where = _lines("where it failed:", (self.traceback or "").rstrip().splitlines())
        return f"the set-up {self.setup} of {_called(self.service, self.name)} failed: {self.problem}{where}"


class DetailsError(ServiceCtxError):
    """Details of an external service are invalid. Attributes: `source`, `path`, `field`, `problem`, `problems`.

    `problems` lists several problems as pairs of a field and a problem; `field` and `problem` are the first pair.
    """

    fields = ("source", "path", "field", "problem", "problems")
    source: str | None
    path: str | None
    field: str | None
    problem: str
    problems: list[list[str]] | None

    def message(self) -> str:
        if self.problems:
            where = ": ".join(part for part in (self.source, self.path) if part)
            mistakes = [f"field {field!r}: {problem}" if field else problem for field, problem in self.problems]
            return "\n  ".join([f"{where or 'details'}: {len(mistakes)} mistakes", *mistakes])
        places = [self.source, self.path, self.field and f"field {self.field!r}"]
        return f"{': '.join(str(part) for part in places if part)}: {self.problem}"


class ConfigError(ServiceCtxError):
    """A value in pyproject.toml, setup.cfg or an environment variable is invalid.

    Attributes: `path` (the file, or the name of the variable), `key`, `problem`.
    """

    fields = ("path", "key", "problem")
    path: str
    key: str | None
    problem: str

    def message(self) -> str:
        return f"{self.path}: {f'{self.key}: ' if self.key else ''}{self.problem}"


class NotIsolable(ServiceCtxError):
    """A fresh namespace cannot be created. Attributes: `service`, `reason`."""

    fields = ("service", "reason")
    service: str
    reason: str

    def message(self) -> str:
        return f"{self.service} cannot be isolated: {self.reason}"


class NotSupported(ServiceCtxError):
    """A service cannot do this. Attributes: `service`, `name`, `operation`, `reason`."""

    fields = ("service", "name", "operation", "reason")
    service: str
    name: str | None
    operation: str
    reason: str

    def message(self) -> str:
        return f"{_called(self.service, self.name)}: {self.operation} is not possible: {self.reason}"


class HomeError(ServiceCtxError):
    """A directory that servicectx needs is unsafe or unusable. Attributes: `path`, `problem`, `cure`."""

    fields = ("path", "problem", "cure")
    path: str
    problem: str
    cure: str

    def message(self) -> str:
        return f"{self.path}: {self.problem}\n{self.cure}"


class KeptDataError(ServiceCtxError):
    """Kept data cannot be opened. Attributes: `path`, `problem`, `cure`."""

    fields = ("path", "problem", "cure")
    path: str
    problem: str
    cure: str

    def message(self) -> str:
        return f"{self.path}: {self.problem}\n{self.cure}"


def _called(service: str, name: str | None) -> str:
    return service if name in (None, service) else f"{service} {name!r}"
