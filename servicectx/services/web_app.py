"""The shared part of ASGI and WSGI apps: the caller's code runs in the caller's directory and environment."""

import os
import re
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import InvalidOption
from servicectx.services import binaries, python_servers, reasons, settings
from servicectx.services.base import Service, inherited
from servicectx.services.options import option_names
from servicectx.services.plan import Plan, Ports, Stop, literal

if TYPE_CHECKING:
    from servicectx.services.web_app_details import AppDetails  # noqa: F401  # the type parameter below


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """`app`: the import path, "package.module:app". `factory`: the path is a function that returns the app.

    `ready`: a path that must answer with a status below 400 before the app is usable; without it no request is made.
    `env`: variables added to the caller's. `settings`: settings of the server. `grace`: seconds to end after SIGTERM.
    """

    app: str = ""
    factory: bool = False
    ready: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    grace: float = 5.0


class App(Service["AppDetails"]):
    """An app, served in its own process. It gets SIGTERM at the end, so that it can clean up."""

    Details: ClassVar[Any] = "servicectx.services.web_app_details:AppDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": reasons.APP_LOGINS,
        "password": reasons.APP_LOGINS,
        "dbname": reasons.NO_DATABASES,
        "socket": reasons.CLIENTS_USE_PORTS,
        "version": reasons.THIS_PACKAGE,
    }
    volatile: ClassVar[str] = "the app keeps its data in other services; use keep_data there, and leave it out here"
    search: ClassVar[binaries.Search]
    packages: ClassVar[tuple[str, ...]]
    ours: ClassVar[Collection[str]]

    def serving(self, options: Any) -> tuple[str, dict[str, Any]]:
        """The serving function, as "module:function", and its arguments besides the socket."""
        raise NotImplementedError

    def program(self, options: AppOptions) -> str:
        return python_servers.find(self.search, self.packages)

    def version(self, program: str) -> str | None:
        return python_servers.version(program, self.packages)

    def plan(self, options: AppOptions, program: str, secret: str) -> Plan:
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", options.app):
            problem = f"{options.app!r} is not the path of an app" if options.app else "the path of the app is missing"
            raise self._invalid("app", f'{problem}: app="package.module:app"')
        if options.ready is not None and not options.ready.startswith("/"):
            raise self._invalid("ready", f"{options.ready!r} is not a path, such as '/health'")
        settings.check(self, options.settings, self.ours)
        target, arguments = self.serving(options)
        probe = {"kind": "http", "url": f"http://{{host}}:{{port}}{options.ready}"} if options.ready else None
        return Plan(
            service=self.name,
            command=python_servers.command(program),
            environment=inherited(options.env),
            files=self._files(program, target, arguments),
            ready=probe or python_servers.READY,
            ping=probe or {"kind": "tcp"},
            working_directory=literal(os.getcwd()),
            stop=Stop(int(signal.SIGTERM), options.grace),
            ports=Ports(inherits_socket=True, owned=False),  # the keeper holds it, so no other process can take it
        )

    def _files(self, program: str, target: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return python_servers.files(program, target, **arguments)
        except TypeError as error:
            raise self._invalid("settings", f"settings are sent to another process as JSON: {error}") from None

    def _invalid(self, option: str, problem: str) -> InvalidOption:
        return InvalidOption(service=self.name, option=option, problem=problem, known=option_names(self.Options))
