"""The plan: plain data that a service makes and a keeper carries out.

Its texts may hold `{host}`, `{port}`, `{dir}` (the instance's directory for the server), `{data}` (its data
directory) and, after a template was used, `{template_secret}`. The keeper fills them in once it has picked a port.
"""

import json
import re
from typing import Any, NamedTuple

HOST = "127.0.0.1"

_PLACEHOLDER = re.compile(r"\{(host|port|dir|data|template_secret)\}")


class Template(NamedTuple):
    """How to make a data directory once; afterwards it is copied from the cache.

    `command` makes `{data}`; `files` are written into `{dir}` before it runs; `key` names whatever the result
    depends on; `secret` is a password that the template holds until the instance gets its own.
    """

    key: str
    command: list[str]
    files: dict[str, str]
    secret: str = ""


class Plan(NamedTuple):
    """All that a keeper needs to run one service.

    `ready` and `ping` are probes (see `probes`): `ready` says that the instance is usable, `ping`, asked by those
    who join, that it still answers. `account` is the user a server runs as when this process is root.
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
    secret: str = ""  # the instance's password, kept with a snapshot, private, until the next instance gets its own
    grace: float = 5.0
    cleanup: dict[str, Any] | None = None  # a "call" after a server that others killed: what it could not free itself
    owns_port: bool = True
    proves_itself: bool = False  # nobody else could answer `ready`: whose the port is need not be looked up
    expected_size: int = 16 * 2**20


def encode(plan: Plan) -> str:
    return json.dumps(plan._asdict() | {"template": plan.template and plan.template._asdict()})


def decode(text: str) -> Plan:
    raw = json.loads(text)
    if raw["template"]:
        raw["template"] = Template(**raw["template"])
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
