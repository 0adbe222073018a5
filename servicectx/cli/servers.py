"""`servicectx list SERVICE`: every server of a service that is found here, and the one that runs by default."""

import textwrap
from typing import Any, NamedTuple

from servicectx import ServiceCtxError
from servicectx.cli import console
from servicectx.services import registry, version_choice

WIDTH = 100  # columns for lists of extensions


class Found(NamedTuple):
    """A server found here. `runs`: it is the default. The field names are the keys of `--json`."""

    service: str
    program: str
    version: str | None
    runs: bool
    reason: str
    problem: str | None
    features: dict[str, list[str]]


def servers_of(services: tuple[str, ...], as_json: bool) -> None:
    """Print the servers of each service. Raises UnknownService, and BinaryNotFound where no server of it is found."""
    found = [server for name in services for server in _found(name)]
    if as_json:
        console.say_json([server._asdict() for server in found])
        return
    for server in found:
        console.say(f"{server.service} {server.version or '?'}{', runs by default' if server.runs else ''}")
        console.say(f"  {server.program}, {server.problem or server.reason}")
        for name, values in server.features.items():
            text = f"{name}: {', '.join(values) or 'none'}"
            console.say(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    "))


def _found(name: str) -> list[Found]:
    service = registry.find(name)
    try:
        default: str | None = service.program(service.options({}))
    except ServiceCtxError:
        if not version_choice.servers(service):
            raise
        default = None  # servers were found, and none can be used
    found = [_server(service, server, default) for server in version_choice.servers(service)]
    if default is None or default in [server.program for server in found]:
        return found
    version = service.version(default)  # the server is a package, and this Python runs it
    reason = version_choice.reason(service, service.options({}), default) or ""
    return [Found(service.name, default, version, True, reason, None, {})]


def _server(service: Any, server: version_choice.Server, default: str | None) -> Found:
    features = {} if server.refusal else service.features(server.path)
    runs = server.path == default
    return Found(service.name, server.path, server.version, runs, server.origin, server.refusal, features)
