"""The plan: plain data that a service makes and a keeper carries out.

Its texts may hold `{host}`, `{port}`, `{port_NAME}` for each of `ports`, `{socket}` where the server inherits one,
`{dir}` (the instance's directory for the server), `{data}` (its data directory) and `{template_secret}` (the password
that the data hold as they are found). The keeper fills them in once it has picked the ports.
"""

import json
import re
from typing import Any, NamedTuple

HOST = "127.0.0.1"

_PLACEHOLDER = re.compile(r"\{(host|port|port_\w+|socket|dir|data|template_secret)\}")


class Template(NamedTuple):
    """How to make a data directory once; afterwards it is copied from the cache.

    `command` makes `{data}`; `files` are written into `{dir}` before it runs; `key` names whatever the result
    depends on; `secret` is a password that the template holds until the instance gets its own. Files in `{data}`
    whose whole name matches `without`, a regular expression, are left out: each of them would be copied every time.
    """

    key: str
    command: list[str]
    files: dict[str, str]
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
    files: dict[str, str] = {}
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
    cleanup: dict[str, Any] | None = None  # a "call" after a server that others killed: what it could not free itself
    owns_port: bool = True
    proves_itself: bool = False  # nobody else could answer `ready`: whose the port is need not be looked up
    helper: dict[str, Any] | None = None  # a "call" for what makes namespaces ahead of demand; see `ahead`
    expected_size: int = 16 * 2**20
    ports: list[str] = []  # more ports that it opens, by name: each is chosen free
    neighbours: int = 0  # how many ports right after {port} it takes too
    inherits_socket: bool = False  # the keeper listens on {port}, and hands it that socket as descriptor {socket}
    companions: list[Companion] = []
    leavings: list[str] = []  # glob patterns: what it makes outside {dir}, and cannot be kept from


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
        return _PLACEHOLDER.sub(lambda found: str(facts.get(found[1], found[0])), value)
    if isinstance(value, dict):
        return {render(name, facts): render(item, facts) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, facts) for item in value]
    return value
