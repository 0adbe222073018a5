"""What a service must give, and what it may: the base class of all services, also of your own."""

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from servicectx.errors import InvalidOption, NotIsolable, StartFailed
from servicectx.isolation.protocol import Clones
from servicectx.isolation.setup_step import SetupSteps
from servicectx.services import binaries
from servicectx.services.binaries import Search
from servicectx.services.plan import Companion, Plan, Template, encode, mentions

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")


# Keyword arguments of `managed()` that are not options of a service.
ARGUMENTS = ("name", "scope", "setup", "snapshot", "linger", "keep_data", "storage", "timeout")


class Client(NamedTuple):
    """A program that talks to one instance: where to look for it, its arguments, its variables."""

    search: Search
    arguments: list[str]
    environment: dict[str, str]


class Written(NamedTuple):
    """A server program and its version: one that wrote data, or one that is about to read them."""

    program: str
    version: str | None


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """For services without options."""


class Service(Generic[D]):
    """A kind of thing that can be run. Subclass it, then pass it to `managed()` or `register()` it.

    A subclass says its `name`, its `Options` (a dataclass or pydantic model whose fields have defaults), its `Details`
    (a subclass of `ServiceDetails`, or "module:Class" so that pydantic is imported only while the service starts),
    and makes a `plan`. Nothing here may start processes or hold locks: a plan is plain data for a keeper.
    """

    name: ClassVar[str]
    Options: ClassVar[type] = NoOptions
    Details: ClassVar[Any]
    install: ClassVar[dict[str, str]] = {}  # by pip, apt, brew: a command, or what else helps, which begins with "not"
    namespace: ClassVar[str | None] = None  # what `isolated()` gives, in words: "a database"
    volatile: ClassVar[str] = "it writes nothing to its data directory; leave keep_data out"  # why, where that is so

    def program(self, options: Any) -> str:
        """The path of the server's program; part of the key. Raises BinaryNotFound."""
        raise NotImplementedError

    def plan(self, options: Any, program: str, secret: str) -> Plan:
        """What a keeper must do to run this. `secret` is a fresh random text, good as a password."""
        raise NotImplementedError

    def kept_plan(self, options: Any, program: str, secret: str, data: Path | None) -> Plan | None:
        """The plan of an instance whose data are to stay: with settings that survive a crash. None: it has no data.

        `data`: those of an earlier instance that it is to run on. At its end the server gets `clean_signal`, else
        SIGTERM, once `settle` has answered. The password stays the same for as long as the data are there.
        """
        plan = self.plan(options, program, secret)
        return plan if mentions(encode(plan), "data") else None

    def reads(self, written: Written, mine: Written) -> bool:
        """Whether the program `mine` can run on data that `written` left: the same program, not older."""
        if os.path.basename(written.program) != os.path.basename(mine.program):
            return False
        if written.version is None or mine.version is None:
            return True
        return _numbers(written.version) <= _numbers(mine.version)

    def details(self, options: Any, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        """The fields of the details beyond service, name, host and port.

        `facts` are what the keeper found: host, port, pid, dir, data, and what the probe learnt (a version).
        """
        return {}

    def check(self, options: Any, details: D) -> bool:
        """One more look by the caller, repeated until true: for readiness that only Python code can tell."""
        return True

    def run_files(self, details: D, files: list[Path], program: str) -> None:
        """Run the files of a set-up. Where a service does not say how, files are refused before anything starts."""
        raise NotImplementedError

    def freeze(self, details: D) -> bool | None:
        """Called once, right after the set-up: keep the state that namespaces will be copies of.

        False: that could not be done. Then no snapshot is kept either, and the next start runs the set-up again.
        """
        return None

    def open_namespace(self, details: D) -> D:
        """Make a fresh namespace for one user; its details. Raises NotIsolable where there is no such thing."""
        raise NotIsolable(service=self.name, reason="this service gives no namespaces of its own")

    def close_namespace(self, namespace: D) -> None:
        """Remove what `open_namespace` made, also while somebody still uses it."""

    def open_layered(self, details: D, layers: SetupSteps) -> D:
        """A fresh namespace in which these set-ups have run. A service that can copy one runs each only once."""
        namespace = self.open_namespace(details)
        try:
            for layer in layers:
                layer.run(namespace)
        except BaseException:
            self.close_namespace(namespace)
            raise
        return namespace

    def keep_namespace(self, namespace: D) -> None:
        """Let nobody remove it for a dead maker's: its user wants it to stay."""

    def copies(self, details: D, directory: str = "") -> Clones[D] | None:
        """Where namespaces are copies: what makes them, for instances that have some ready ahead of demand.

        `directory` holds the server's data; "" where this user cannot see them.
        """
        return None

    def version(self, program: str) -> str | None:
        """The version of `program`, for people who list what is here; None where it does not tell.

        It is asked with `--version`; a service whose program starts a server by that knows another way.
        """
        return binaries.ask_version(program)

    def client(self, details: D) -> Client | None:
        """The service's own shell, for people: what to look for and what to hand it. Secrets go into `environment`."""
        return None

    def shell_command(self, details: D) -> str:
        """How to connect, in words: a command line where one will do, else the address."""
        return details.url

    # -- used by the core ------------------------------------------------------------------------------------------

    def options(self, given: dict[str, Any]) -> Any:
        """The options, checked. Raises InvalidOption that lists the known ones."""
        if not given:
            return self.Options()
        return _checked(self.name, self.Options, given)

    def details_model(self) -> type[D]:
        if isinstance(self.Details, str):
            module, _, kind = self.Details.partition(":")
            return cast("type[D]", getattr(importlib.import_module(module), kind))
        return cast("type[D]", self.Details)


def option_names(options: type) -> list[str]:
    return list(getattr(options, "model_fields", None) or [field.name for field in fields(options)])


def option_values(options: Any) -> dict[str, Any]:
    """The options that differ from their defaults: what makes two askers differ."""
    plain = type(options)()
    names = option_names(type(options))
    return {name: value for name in names if (value := getattr(options, name)) != getattr(plain, name)}


def _checked(service: str, kind: type, given: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    known = option_names(kind)
    for name in given:
        if name not in known:
            from difflib import get_close_matches

            close = get_close_matches(name, known, n=1) or get_close_matches(name, ARGUMENTS, n=1)
            problem = f"unknown; did you mean {close[0]!r}?" if close else "unknown"
            raise InvalidOption(service=service, option=name, problem=problem, known=known)
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        option = str(first["loc"][0]) if first["loc"] else next(iter(given))
        raise InvalidOption(service=service, option=option, problem=first["msg"], known=known) from None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def account_for_root(*wanted: str) -> str | None:
    """The account a server that refuses root runs as, or None when this process is not root.

    Raises StartFailed, with the cure, where there is no account: some platforms run containers under ids that no
    passwd entry knows, and such servers refuse those too.
    """
    import pwd

    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            uid, gid = os.geteuid(), os.getegid()
            cure = f"add one to /etc/passwd: test:x:{uid}:{gid}::/tmp:/bin/sh"
            reason = f"user id {uid} has no passwd entry, and the server refuses to run without; {cure}"
            raise StartFailed(service=wanted[0] if wanted else "the service", reason=reason) from None
        return None
    known = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in (*wanted, "nobody"):
        if name in known:
            return name
    raise StartFailed(
        service=wanted[0] if wanted else "the service",
        reason=f"it refuses to run as root, and there is no account to drop to ({', '.join(wanted)}, nobody)",
    )


def environment(**more: str) -> dict[str, str]:
    """A server's environment: what programs need to run, and none of the caller's settings for clients."""
    passed = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
    kept = {name: os.environ[name] for name in passed if name in os.environ}
    return {"PATH": os.defpath, **kept, "HOME": "{dir}", "TMPDIR": "{dir}", "LC_ALL": "C.UTF-8", **more}


def inherited(more: Mapping[str, str]) -> dict[str, str]:
    """The caller's whole environment and more: for programs of the caller's own."""
    return {name: value for name, value in os.environ.items() if name != "mirakuru_uuid"} | dict(more)


__all__ = [
    "Client",
    "Companion",
    "NoOptions",
    "Plan",
    "Search",
    "Service",
    "Template",
    "Written",
    "account_for_root",
    "environment",
    "inherited",
    "option_names",
    "option_values",
]
