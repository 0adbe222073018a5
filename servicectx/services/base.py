"""The base class of all services, built-in and custom: required and optional methods."""

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from servicectx.errors import InvalidOption, StartFailed
from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, version_choice
from servicectx.services.binaries import Search
from servicectx.services.options import checked, option_names, option_values
from servicectx.services.plan import (
    Companion,
    Leftovers,
    PathLimits,
    Plan,
    Ports,
    SnapshotSupport,
    Stop,
    Template,
    encode,
    mentions,
)
from servicectx.services.version_choice import VersionOptions

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")


class Client(NamedTuple):
    """A client program for one instance: where to search for it, its arguments, its variables."""

    search: Search
    arguments: list[str]
    environment: dict[str, str]


class Written(NamedTuple):
    """A server program and its version: the writer of a data directory, or its next reader."""

    program: str
    version: str | None


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of a service without options."""


class Service(Generic[D]):
    """A kind of server. Subclass it, then pass it to `managed()` or `register()` it.

    A subclass sets `name`, `Options` (a dataclass or pydantic model with a default for each field) and `Details` (a
    subclass of `ServiceDetails`, or "module:Class" so that pydantic is imported only while the service starts). It
    implements `plan`. No method may start processes or hold locks: a plan is plain data for the keeper.
    """

    name: ClassVar[str]
    Options: ClassVar[type] = NoOptions
    Details: ClassVar[Any]
    install: ClassVar[dict[str, str]] = {}  # pip, apt, brew: a command, or a hint that begins with "not"
    requirements: ClassVar[tuple[str, ...]] = ()  # of the extra with the name of the service
    extra_requirements: ClassVar[dict[str, tuple[str, ...]]] = {}  # of further extras, by name: "postgres17"
    not_possible: ClassVar[Mapping[str, str]] = {}  # options of other services, each with the reason for its error
    images: ClassVar[dict[str, str]] = {}  # container images with {version}, by flavour; "" where there is one flavour
    search: ClassVar[Search]  # the places of the server, for the default `program`
    namespace: ClassVar[str | None] = None  # what `isolated()` returns, as a noun: "a database"
    probe_request: ClassVar[str | None] = None  # latin-1; every server answers it without a login. See `reachable`
    volatile: ClassVar[str] = "it writes nothing to its data directory; leave keep_data out"  # why `kept_plan` is None

    def program(self, options: Any) -> str:
        """The path of the server's program, which is part of the key. Raises BinaryNotFound.

        The default is the first program of `search` that `refusal` accepts and that fits the options: `version` (see
        `VersionOptions`), `flavour`, and what `lacks` looks at.
        """
        if not hasattr(self, "search"):
            raise self._missing("program()` or the attribute `search")
        return version_choice.choose(self, self.search, options)

    def refusal(self, program: str) -> str | None:
        """The reason why a program of `search` cannot be used with any options, or None."""
        return None

    def lacks(self, options: Any, program: str) -> str | None:
        """What a server lacks for these options, for the error that lists the servers; None where it lacks nothing."""
        return None

    def install_for(self, options: Any) -> dict[str, str]:
        """Like `install`, for the version and the flavour that the options ask for."""
        flavour = getattr(options, "flavour", None) or next(iter(self.images), "")
        if flavour not in self.images:
            return dict(self.install)
        wanted = version_choice.version_range(options)
        image = self.images[flavour].replace("{version}", (wanted and wanted.example) or "latest")
        return {
            **self.install,
            "image": f"{image}  # run it, and set SERVICECTX_{self.name.upper()}_DETAILS to its URL",
        }

    def features(self, program: str) -> dict[str, list[str]]:
        """Further facts about a server, for `servicectx list SERVICE`: {"extensions": ["vector"]}."""
        return {}

    def explain(self, problem: str, details: D) -> str:
        """Lines that explain the error of a set-up and its cure, or ""."""
        return ""

    def plan(self, options: Any, program: str, secret: str) -> Plan:
        """The plan that a keeper runs. `secret` is a fresh random text, suitable as a password."""
        raise self._missing("plan()")

    def kept_plan(self, options: Any, program: str, secret: str, data: Path | None) -> Plan | None:
        """The plan of an instance that keeps its data: with crash-safe settings. None: the service has no data.

        `data` is the data directory of an earlier instance, if the server runs on one. On shutdown the server gets
        `snapshot.signal`, else SIGTERM, once `snapshot.flush` has succeeded. The password stays as long as the data.
        """
        plan = self.plan(options, program, secret)
        return plan if mentions(encode(plan), "data") else None

    def reads(self, written: Written, mine: Written) -> bool:
        """Whether the program `mine` can run on data of `written`: the same program, not older."""
        if os.path.basename(written.program) != os.path.basename(mine.program):
            return False
        if written.version is None or mine.version is None:
            return True
        return _numbers(written.version) <= _numbers(mine.version)

    def details(self, options: Any, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        """The fields of the details beyond service, name, host and port.

        `facts` come from the keeper: host, port, pid, dir, data, and the results of the probe, such as a version.
        """
        return {}

    def check(self, options: Any, details: D) -> bool:
        """An extra readiness check in the caller, repeated until true: for checks that need Python code."""
        return True

    def run_files(self, details: D, files: list[Path], program: str) -> None:
        """Run the files of a set-up. Without an override, files are refused before the start."""
        raise self._missing("run_files()")

    def isolation(self, details: D, data: str = "") -> Isolation[D] | None:
        """The namespaces of the instance with these details, for `isolated()`. None: the service has no namespaces.

        `data` is the data directory of a local server, or "" where this user cannot read it.
        """
        return None

    def version(self, program: str) -> str | None:
        """The version of `program`, for listings of installed servers; None where the program prints none.

        The program is run with `--version`. Override this for a program that has no such argument.
        """
        return binaries.ask_version(program)

    def data_files(self, program: str) -> list[str]:
        """Small files beside `program` that decide what its data may contain, such as those of extensions.

        Snapshots are only used with equal files. The default is none.
        """
        return []

    def client(self, details: D) -> Client | None:
        """The service's own shell: its program and its arguments. Secrets go into `environment`."""
        return None

    def remark(self, version: str) -> str:
        """A remark for `servicectx doctor` about a server of that version: a feature that is off, for example."""
        return ""

    def shell_command(self, details: D) -> str:
        """A command line that connects where there is one, else the address."""
        return details.url

    # -- used by the core ------------------------------------------------------------------------------------------

    def options(self, given: dict[str, Any]) -> Any:
        """The checked options. Raises InvalidOption, which lists the known options."""
        if not given:
            return self.Options()
        known = option_names(self.Options)
        for name in given:
            if name not in known and name in self.not_possible:
                problem = f"not possible: {self.not_possible[name]}"
                raise InvalidOption(service=self.name, option=name, problem=problem, known=known)
        options = checked(self.name, self.Options, given)
        version_choice.check(self.name, options)
        return options

    def _missing(self, part: str) -> NotImplementedError:
        return NotImplementedError(f"the class {type(self).__name__} needs `{part}`; see docs/own-services.md")

    def details_model(self) -> type[D]:
        if isinstance(self.Details, str):
            module, _, kind = self.Details.partition(":")
            return cast("type[D]", getattr(importlib.import_module(module), kind))
        return cast("type[D]", self.Details)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def account_for_root(*wanted: str) -> str | None:
    """The account for a server that refuses root, or None when this process is not root.

    Raises StartFailed, with the cure, where there is no account. Some platforms run containers under ids without a
    passwd entry, and such servers refuse these ids too.
    """
    import pwd

    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            uid, gid = os.geteuid(), os.getegid()
            cure = f"add one to /etc/passwd: test:x:{uid}:{gid}::/tmp:/bin/sh"
            reason = f"user id {uid} has no passwd entry, and the server refuses to run without one; {cure}"
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


def environment(**extra: str) -> dict[str, str]:
    """The environment of a server: the basic variables, without the caller's settings for clients."""
    passed = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
    kept = {name: os.environ[name] for name in passed if name in os.environ}
    return {"PATH": os.defpath, **kept, "HOME": "{dir}", "TMPDIR": "{dir}", "LC_ALL": "C.UTF-8", **extra}


def inherited(extra: Mapping[str, str]) -> dict[str, str]:
    """The caller's whole environment plus `extra`: for programs of the caller."""
    return {name: value for name, value in os.environ.items() if name != "mirakuru_uuid"} | dict(extra)


__all__ = [
    "Client",
    "Companion",
    "Isolation",
    "Leftovers",
    "NoOptions",
    "PathLimits",
    "Plan",
    "Ports",
    "Search",
    "Service",
    "SnapshotSupport",
    "Stop",
    "Template",
    "VersionOptions",
    "Written",
    "account_for_root",
    "environment",
    "inherited",
    "option_names",
    "option_values",
]
