"""Plans of services without their servers, and the account of a server that root starts."""

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from servicectx.services.base import Plan, Service
from servicectx.services.options import option_names
from tests.services import sources

NEEDED = {"app": "package.module:app", "command": ["program", "{port}"]}  # options that have no default


def another(service: Service[Any]) -> bool:
    """Whether a server that root starts runs as another account."""
    return plan_of(service).account is not None


def plan_of(service: Service[Any], server: str | None = None, **options: Any) -> Plan:
    """The plan of a service for root, with required options and `options`. `server`: the name of its program.

    No server is needed: a tree with files of the right names suffices.
    """
    with (
        tempfile.TemporaryDirectory() as place,
        mock.patch.object(os, "geteuid", return_value=0),
        mock.patch.dict(os.environ, JAVA_HOME=place),
    ):
        for name in ("plugins/rabbit-1", "plugins/rabbitmq_management-1", "bin"):
            (Path(place) / name).mkdir(parents=True)
        program = Path(place, "bin", server or [*sources.programs(service), "program"][0])
        for path in (program, program.with_name("java")):
            path.touch(mode=0o700)
        return service.plan(options_of(service, **options), str(program), "secret")


def options_of(service: Service[Any], **options: Any) -> Any:
    """The default options, values for the required ones, and `options`."""
    needed = {name: value for name, value in NEEDED.items() if name in option_names(service.Options)}
    return service.options(needed | options)
