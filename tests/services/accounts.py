"""Plans of services whose servers need not be here, and as whom a server runs that root starts."""

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from servicectx.services.base import Plan, Service, option_names
from tests.services import sources

NEEDED = {"app": "package.module:app", "command": ["program", "{port}"]}  # options that have no default


def another(service: Service[Any]) -> bool:
    """Whether it is another account than root."""
    return plan_of(service).account is not None


def plan_of(service: Service[Any]) -> Plan:
    """Its plan, as root. No server is needed: a tree with files of its names will do."""
    with (
        tempfile.TemporaryDirectory() as place,
        mock.patch.object(os, "geteuid", return_value=0),
        mock.patch.dict(os.environ, JAVA_HOME=place),
    ):
        for name in ("plugins/rabbit-1", "plugins/rabbitmq_management-1", "bin"):
            (Path(place) / name).mkdir(parents=True)
        program = Path(place, "bin", *sources.programs(service)[:1] or ["program"])
        for path in (program, program.with_name("java")):
            path.touch(mode=0o700)
        return service.plan(options_of(service), str(program), "secret")


def options_of(service: Service[Any]) -> Any:
    """Its defaults, and what it cannot do without."""
    return service.options({name: value for name, value in NEEDED.items() if name in option_names(service.Options)})
