"""Details from outside, for `servicectx doctor`: each variable is read as a block reads it, and its server is tried."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from servicectx import DetailsError, ServiceCtxError
from servicectx.cli.finding import ABSENT, FINE, WRONG, Finding
from servicectx.request import config, external
from servicectx.services import registry

NAME = "details"


def external_details() -> Iterator[Finding]:
    """One finding for each variable with details; values of variables are not shown, because they have passwords."""
    services = _services()
    if not services:
        yield Finding(NAME, FINE, "no variable with details is set: services are started here")
    for variable, (name, service) in services.items():
        if service is None:
            problem = f"{variable}: not tried, because no service of the project is called {name!r}"
            cure = 'add the field "service" to the details, or name the service in [tool.servicectx] of pyproject.toml'
            yield Finding(NAME, ABSENT, problem, cure)
        else:
            yield _tried(variable, name, service)


def _tried(variable: str, name: str, service: str) -> Finding:
    """Read the details, and connect to the address."""
    try:
        found = registry.find(service)
        details = external.read(variable, found, name)
        connected = external.reach(details, variable, found.probe_request)
    except ServiceCtxError as error:
        return Finding(NAME, WRONG, str(error), f"correct the value, or unset {variable}")
    result = "answers" if connected else "is described; no connection was tried"
    return Finding(NAME, FINE, f"{variable}: {details.service} at {details.host}:{details.port} {result}")


def _services() -> dict[str, tuple[str, str | None]]:
    """Variable: name, and service if it is known."""
    found: dict[str, tuple[str, str | None]] = {}
    with contextlib.suppress(ServiceCtxError):  # another check reports a faulty file of the project
        for name in config.names():
            entry = config.find(name)
            if entry and (variable := external.variable(name)):
                found[variable] = (name, entry.service)
    for name in registry.names():
        if (variable := external.variable(name)) and variable not in found:
            found[variable] = (name, name)
    for variable in sorted(os.environ):
        role = re.fullmatch(r"SERVICECTX_(\w+)_DETAILS", variable)
        if role and variable not in found:
            found[variable] = (role[1].lower(), _named_service(os.environ[variable]))
    return found


def _named_service(value: str) -> str | None:
    """The field "service" of details in JSON, or in a file."""
    from servicectx.services.details import read_text

    with contextlib.suppress(DetailsError, ValueError, AttributeError, RuntimeError):
        text = value if value.lstrip().startswith("{") else read_text(Path(value).expanduser())
        service = json.loads(text).get("service")
        return service if service in registry.names() else None
    return None
