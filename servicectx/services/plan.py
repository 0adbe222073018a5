"""The plan: plain data that a service makes and a keeper carries out.

Its texts may hold `{host}`, `{port}`, `{port_NAME}` for each of `ports`, `{socket}` where the server inherits one,
`{dir}` (the instance's directory for the server), `{data}` (its data directory) and `{template_secret}` (the password
that the data hold as they are found). The keeper fills them in once it has picked the ports.

A path may hold any character, so each is escaped for the format that it lands in: `{data|redis}` is the inside of a
quoted text in redis.conf; `quoting.FORMATS` lists the formats. `{dir}` alone is the path as it is, for command lines
and variables. For servers that take no quotes, and run in `{dir}`: `{data|relative}` is the path from there, and
`{data|cwd}` an absolute path without odd characters, by way of the process's own entry in /proc.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.services.quoting import FORMATS
from servicectx.system.originals import json

HOST = "127.0.0.1"
CWD = "/proc/self/cwd"
NOT_UTF8 = "[\\udc80-\\udcff]"  # for `refused_in_paths`
LONGEST_PATH = 3000  # bytes of {dir}: the kernel takes 4,095 for a whole path, and servers have files in it

_NAMES = "brace|host|port|port_\\w+|socket|dir|data|template_secret"
_PLACEHOLDER = re.compile(rf"\{{({_NAMES})(?:\|({'|'.join(FORMATS)}|relative|cwd))?\}}")
_OPENING = re.compile(rf"\{{(?=({_NAMES})(?:\||\}}))")


class Template(NamedTuple):
    """How to make a data directory once; afterwards it is copied from the cache.

    `command` makes `{data}`; `files` are written into `{dir}` before it runs; `key` names whatever the result
    depends on; `secret` is a password that the template holds until the instance gets its own. Files in `{data}`
    whose whole name matches `without`, a regular expression, are left out: each of them would be copied every time.
    """

    key: str
    command: list[str]
    files: dict[str, Any]
    secret: str = ""
    without: str = ""


class Companion(NamedTuple):
    """A program that a server needs beside it: started before it, once `ready` answers, and ended after it."""

    command: list[str]
    ready: dict[str, Any]


class Plan(NamedTuple):
    """All that a keeper needs to run one service.

    `ready` and `ping` are probes (see `probes`): `ready` says that the instance is usable, `ping`, asked by those
    who join, that it still answers. `account` is the user a server runs as when this process is root.

    `{data}` is a kept copy where there is one: of the data after the same set-up, else of what `template` made.
    Else `template` makes it; a plan without one that speaks of `{data}` gets it made, empty. It belongs to `account`.

    Snapshots need `clean_signal`, and all that is worth keeping in `{data}`. After the set-up `settle` is asked until
    it answers, at most 30 s; then the signal is sent, and if the server ends with one of `clean_statuses` (negative:
    the signal that ended it) within 30 s, `{data}` is copied. A server that cannot be ended so goes without a snapshot.
    It then starts on the same ports and data again, and `ready` must hold again, with the instance's own `secret` in
    `{template_secret}`. An instance made from the copy finds there the secret of the one that was copied, and `ready`
    must put its own in place. No set-up runs for it.
    """

    service: str
    command: list[str]
    environment: dict[str, str]
    ready: dict[str, Any]
    ping: dict[str, Any] = {"kind": "tcp"}
    files: dict[str, Any] = {}  # a text each; a dict is written as JSON
    template: Template | None = None
    account: str | None = None
    programs: str | None = None  # the tree that holds the server's programs, copied where `account` can reach it
    working_directory: str = "{dir}"
    stop_signal: int = 9
    clean_signal: int | None = None  # ends it with its data fit to be copied; without, there are no snapshots
    clean_statuses: list[int] = [0]  # what it ends with then
    settle: dict[str, Any] | None = None  # a probe that makes it write down what the signal would not
    secret: str = ""  # the instance's password, kept with a snapshot, private, until the next instance gets its own
    grace: float = 5.0
    cleanup: dict[str, Any] | None = None  # a "call" after a server that others killed, and before kept data are used
    owns_port: bool = True
    proves_itself: bool = False  # nobody else could answer `ready`: whose the port is need not be looked up
    helper: dict[str, Any] | None = None  # a "call" for what makes namespaces ahead of demand; see `ahead`
    expected_size: int = 16 * 2**20
    ports: list[str] = []  # more ports that it opens, by name: each is chosen free
    neighbours: int = 0  # how many ports right after {port} it takes too
    inherits_socket: bool = False  # the keeper listens on {port}, and hands it that socket as descriptor {socket}
    companions: list[Companion] = []
    leavings: list[str] = []  # glob patterns: what it makes outside {dir}, and cannot be kept from
    refused_in_paths: str = ""  # a regular expression for one character that the server takes in no path
    longest_path: int = LONGEST_PATH  # bytes of {dir} that it can take


def problem_with(name: str) -> str:
    """Why a file of a plan cannot have that name: files lie in the instance's own directory. "" where it can."""
    if not name or "\0" in name:
        return "that is not a name"
    if name.startswith("/"):
        return "it is absolute, and files are written into {dir}; give a name relative to that"
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "no part of it may be empty, a dot or two dots: it would lie outside of {dir}, or have a second name"
    return "the data directory has that name" if parts == ["data"] else ""


def refusal(name: str, problem: str) -> str:
    """The reason of a start that fails because of one file."""
    return f"the file {name!r} of its plan cannot be written: {problem}"


def refused_file(plan: Plan) -> str | None:
    """The reason why one of the plan's files cannot be written, before anything is; None where there is none."""
    facts = {"dir": "/dir", "data": "/dir/data"}
    for name in [*plan.files, *(plan.template.files if plan.template else ())]:
        if problem := problem_with(render(name, facts)):
            return refusal(name, problem)
    return None


def encode(plan: Plan) -> str:
    parts = {
        "template": plan.template and plan.template._asdict(),
        "companions": [companion._asdict() for companion in plan.companions],
    }
    return json.dumps(plan._asdict() | parts)


def decode(text: str) -> Plan:
    raw = json.loads(text)
    if raw["template"]:
        raw["template"] = Template(**raw["template"])
    raw["companions"] = [Companion(**companion) for companion in raw["companions"]]
    return Plan(**raw)


def render(value: Any, facts: dict[str, Any]) -> Any:
    """`value` with its placeholders filled in, in whatever texts it holds. Other braces stay as they are."""
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
    """Whether `{dir|cwd}` has no odd characters. Without /proc it is the path as it is."""
    return os.path.isdir(CWD)


def refused_without_cwd() -> str:
    """For `refused_in_paths` of a plan that relies on `{dir|cwd}`: where there is none, plain paths are taken alone."""
    return "" if has_cwd() else r"[^\w/.+%=@~-]"


def quoted(text: str, form: str) -> str:
    """`text` escaped for a format, in such a way that each placeholder in it is filled in escaped likewise."""
    made, end = "", 0
    for found in _PLACEHOLDER.finditer(text):
        made += FORMATS[form](text[end : found.start()]) + f"{{{found[1]}|{found[2] or form}}}"
        end = found.end()
    return made + FORMATS[form](text[end:])


def literal(text: str) -> str:
    """`text` so that `render` gives it as it is: for names and paths of other people's in a plan's texts."""
    return _OPENING.sub("{brace}", text)


def mentions(text: str, name: str) -> bool:
    """Whether a placeholder of that name is in the text."""
    return any(found[1] == name for found in _PLACEHOLDER.finditer(text))


def path_problem(what: Plan, directory: Path) -> str | None:
    """Why the server cannot have `directory` as its `{dir}`, or None."""
    path = str(directory)
    if what.refused_in_paths and (found := re.search(what.refused_in_paths, path)):
        return f"{what.service} takes no {_called(found[0])} in the path of its files"
    if (length := len(os.fsencode(path))) > what.longest_path:
        return f"the path of its files has {length} bytes, and {what.service} takes no more than {what.longest_path}"
    return None


def _called(character: str) -> str:
    """One character as people read it."""
    names = {" ": "blank", "\n": "line break", "\r": "carriage return", "\t": "tab", "\0": "NUL"}
    if "\udc80" <= character <= "\udcff":
        return f"byte {ord(character) - 0xDC00:#04x} (which is not UTF-8)"
    return names.get(character) or (character if character.isprintable() else repr(character))
