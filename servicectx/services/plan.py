"""The plan: plain data that a service makes and a keeper carries out.

Its texts may hold `{host}`, `{port}`, `{port_NAME}` for each of `ports.extra`, `{socket}` where the server inherits
one, `{socket_dir}` (a directory for Unix sockets: a short path without special characters), `{dir}` (the instance's
directory for the server), `{data}` (its data directory) and `{template_secret}` (the password in the data at the
start). The keeper replaces these placeholders once the ports are chosen.

A path may hold any character, so each path is escaped for its target format: `{data|redis}` is the inside of a quoted
text in redis.conf; `quoting.FORMATS` lists the formats. `{dir}` alone is the unescaped path, for command lines and
variables. For servers that accept no quotes and run in `{dir}`: `{data|relative}` is the path relative to `{dir}`, and
`{data|cwd}` is an absolute path without special characters, through the process's own entry in /proc.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.services.quoting import FORMATS
from servicectx.system.originals import json

HOST = "127.0.0.1"
CWD = "/proc/self/cwd"
NOT_UTF8 = "[\\udc80-\\udcff]"  # for `PathLimits.refused`
LONGEST_PATH = 3000  # bytes of {dir}: the kernel allows 4,095 for a whole path, and servers have files in it

_NAMES = "brace|host|port|port_\\w+|socket|socket_dir|dir|data|template_secret"
_PLACEHOLDER = re.compile(rf"\{{({_NAMES})(?:\|({'|'.join(FORMATS)}|relative|cwd))?\}}")
_OPENING = re.compile(rf"\{{(?=({_NAMES})(?:\||\}}))")


class Template(NamedTuple):
    """The recipe for a data directory that is made once and then copied from the cache.

    `command` makes `{data}`. `files` are written into `{dir}` before it runs. `key` contains everything that the
    result depends on. `secret` is the password in the template until the instance sets its own. Files in `{data}` are
    left out if their whole name matches the regular expression `without`: fewer files make each copy faster.
    """

    key: str
    command: list[str]
    files: dict[str, Any]
    secret: str = ""
    without: str = ""


class Companion(NamedTuple):
    """A program that a server depends on. It starts first, must pass its `ready` probe, and ends after the server."""

    command: list[str]
    ready: dict[str, Any]


class Ports(NamedTuple):
    """The ports of a server on loopback, and how they are checked.

    `extra` names further ports; a free port is chosen for each. `consecutive` is the number of ports directly after
    {port} that the server also uses. With `inherits_socket` the keeper listens on {port} and passes the socket as
    descriptor {socket}.

    `owned`: the server itself listens on {port}, so the owner of the port is looked up. `probe_authenticates`: no other
    program can answer `ready`, so `ready` needs no look-up.
    """

    extra: list[str] = []
    consecutive: int = 0
    inherits_socket: bool = False
    owned: bool = True
    probe_authenticates: bool = False


class Stop(NamedTuple):
    """The end of a server: the signal, and the seconds until SIGKILL follows."""

    signal: int = 9
    grace: float = 5.0


class SnapshotSupport(NamedTuple):
    """A stop with complete data in `{data}`, for snapshots and for kept data.

    The probe `flush` is repeated until it succeeds, for at most 30 s: it writes what `signal` would lose. Then `signal`
    is sent. If the server exits within 30 s with one of `statuses` (negative: the signal that ended it), the data is
    copied; otherwise there is no snapshot. `secret` is the password in the data, stored privately with a snapshot until
    the next instance sets its own.

    For `restart(kill=True)` the probe `before_kill` writes what SIGKILL would lose. `survives_kill` is False for a
    server that writes its data only at a clean end.
    """

    signal: int
    statuses: list[int] = [0]
    flush: dict[str, Any] | None = None
    secret: str = ""
    before_kill: dict[str, Any] | None = None
    survives_kill: bool = True


class PathLimits(NamedTuple):
    """The paths that a server accepts: no character that matches `refused`, at most `longest` bytes of {dir}."""

    refused: str = ""
    longest: int = LONGEST_PATH


class Leftovers(NamedTuple):
    """Resources outside of {dir}.

    `files` are glob patterns of files that the server always makes. `call` frees what a killed server could not free.
    It runs after each end of the server or the template's command, before `{data}` is removed, and before kept data is
    used. So it runs several times, mostly with nothing to free.
    """

    files: list[str] = []
    call: dict[str, Any] | None = None


class Plan(NamedTuple):
    """The complete instructions for a keeper that runs one service.

    `ready` and `ping` are probes (see `probes`). `ready` succeeds when the instance is usable. Joining processes run
    `ping` to check that the instance still answers. `account` is the server's user when this process is root.

    `{data}` is a prepared copy if one exists: of the data after the same set-up, else of the template. Without a copy,
    `template` makes it. A plan without a template that mentions `{data}` gets an empty directory. `account` owns it.

    Snapshots need `snapshot`, and all state in `{data}`. After the copy the server starts again on the same ports and
    data, and `ready` must succeed again, with the instance's own secret in `{template_secret}`. For an instance made
    from the copy, `{template_secret}` is the secret of the copied instance, and `ready` must replace it. No set-up runs
    for such an instance.
    """

    service: str
    command: list[str]
    environment: dict[str, str]
    ready: dict[str, Any]
    ping: dict[str, Any] = {"kind": "tcp"}
    files: dict[str, Any] = {}  # file name -> text; a dict is written as JSON
    working_directory: str = "{dir}"
    companions: list[Companion] = []
    ports: Ports = Ports()
    stop: Stop = Stop()
    template: Template | None = None
    snapshot: SnapshotSupport | None = None  # None: the data can be neither stored nor restored
    expected_size: int = 16 * 2**20  # bytes of data
    account: str | None = None
    program_tree: str | None = None  # the server's program tree, copied to a place that `account` can read
    paths: PathLimits = PathLimits()
    leftovers: Leftovers = Leftovers()
    prefetcher: dict[str, Any] | None = None  # a "call" that returns the backend of `isolation.prefetcher`


_PARTS = {
    "ports": Ports,
    "stop": Stop,
    "template": Template,
    "snapshot": SnapshotSupport,
    "paths": PathLimits,
    "leftovers": Leftovers,
}


def problem_with(name: str) -> str:
    """The reason why a plan's file cannot have this name, or "". Files lie in the instance's own directory."""
    if not name or "\0" in name:
        return "that is not a name"
    if name.startswith("/"):
        return "it is absolute, and files are written into {dir}; give a name relative to that"
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "no part of it may be empty, a dot or two dots: it would lie outside of {dir}, or have a second name"
    return "the data directory has that name" if parts == ["data"] else ""


def refusal(name: str, problem: str) -> str:
    """The reason for a start that fails because of one file."""
    return f"the file {name!r} of its plan cannot be written: {problem}"


def refused_file(plan: Plan) -> str | None:
    """The reason why one of the plan's files cannot be written, or None. Checked before any file is written."""
    example = {"dir": "/dir", "data": "/dir/data"}
    for name in [*plan.files, *(plan.template.files if plan.template else ())]:
        if problem := problem_with(render(name, example)):
            return refusal(name, problem)
    return None


def encode(plan: Plan) -> str:
    parts = {name: part._asdict() for name in _PARTS if (part := getattr(plan, name)) is not None}
    companions = [companion._asdict() for companion in plan.companions]
    return json.dumps(plan._asdict() | parts | {"companions": companions})


def decode(text: str) -> Plan:
    raw = json.loads(text)
    parts = {name: kind(**raw[name]) for name, kind in _PARTS.items() if raw[name] is not None}
    companions = [Companion(**companion) for companion in raw["companions"]]
    return Plan(**(raw | parts | {"companions": companions}))


def render(value: Any, facts: dict[str, Any]) -> Any:
    """`value` with the placeholders in all of its texts replaced. Other braces stay."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _filled(found, facts), value)
    if isinstance(value, dict):
        return {render(name, facts): render(item, facts) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, facts) for item in value]
    return value


def _filled(found: re.Match[str], facts: dict[str, Any]) -> str:
    name, form = found[1], found[2]
    if name == "brace":
        return "{"
    if name not in facts:
        return found[0]
    text = str(facts[name])
    if form in ("relative", "cwd"):
        inside = os.path.relpath(text, facts["dir"])
        return inside if form == "relative" else os.path.normpath(f"{CWD}/{inside}") if has_cwd() else text
    return FORMATS[form](text) if form else text


def has_cwd() -> bool:
    """Whether `{dir|cwd}` has no special characters. Without /proc it is the unchanged path."""
    return os.path.isdir(CWD)


def refused_without_cwd() -> str:
    """The value of `PathLimits.refused` for a plan with `{dir|cwd}`: without /proc only plain paths are accepted."""
    return "" if has_cwd() else r"[^\w/.+%=@~-]"


def quoted(text: str, form: str) -> str:
    """`text` escaped for a format. The values of its placeholders will be escaped for the same format."""
    made, end = "", 0
    for found in _PLACEHOLDER.finditer(text):
        made += FORMATS[form](text[end : found.start()]) + f"{{{found[1]}|{found[2] or form}}}"
        end = found.end()
    return made + FORMATS[form](text[end:])


def literal(text: str) -> str:
    """`text` escaped so that `render` returns it unchanged: for foreign names and paths in a plan's texts."""
    return _OPENING.sub("{brace}", text)


def mentions(text: str, name: str) -> bool:
    """Whether a placeholder of that name is in the text."""
    return any(found[1] == name for found in _PLACEHOLDER.finditer(text))


def listens_on_port(plan: Plan) -> bool:
    """Whether the server listens on `{port}`."""
    return plan.ports.inherits_socket or mentions(encode(plan), "port")


def path_problem(plan: Plan, directory: Path) -> str | None:
    """The reason why the server cannot use `directory` as its `{dir}`, or None."""
    path = str(directory)
    if plan.paths.refused and (found := re.search(plan.paths.refused, path)):
        return f"{plan.service} takes no {_called(found[0])} in the path of its files"
    if (length := len(os.fsencode(path))) > plan.paths.longest:
        return f"the path of its files has {length} bytes, and {plan.service} takes no more than {plan.paths.longest}"
    return None


def _called(character: str) -> str:
    """One character in a readable form."""
    names = {" ": "blank", "\n": "line break", "\r": "carriage return", "\t": "tab", "\0": "NUL"}
    if "\udc80" <= character <= "\udcff":
        return f"byte {ord(character) - 0xDC00:#04x} (which is not UTF-8)"
    return names.get(character) or (character if character.isprintable() else repr(character))
