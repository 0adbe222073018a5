"""What ASGI and WSGI apps have in common: the caller's code, in the caller's directory and environment."""

import os
import re
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import InvalidOption
from servicectx.services import binaries, python_servers, settings
from servicectx.services.base import Service, inherited, option_names
from servicectx.services.plan import Plan, literal

if TYPE_CHECKING:
    from servicectx.services.web_app_details import AppDetails  # noqa: F401  # the type parameter below


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """`app`: where it is, "package.module:app". `factory`: that is a function which makes it.

    `ready`: a path that must answer with a status below 400 before the app counts as usable; without, no request is
    made. `env`: variables added to the caller's. `settings`: the server's own. `grace`: seconds to end after SIGTERM.
    """

    app: str = ""
    factory: bool = False
    ready: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    grace: float = 5.0


class App(Service["AppDetails"]):
    """An app, served in a process of its own. It may have left things that only its own end removes: it is asked."""

    Details: ClassVar[Any] = "servicectx.services.web_app_details:AppDetails"
    volatile: ClassVar[str] = "the app keeps its data in other services; ask for keep_data there, and leave it out here"
    search: ClassVar[binaries.Search]
    packages: ClassVar[tuple[str, ...]]
    ours: ClassVar[Collection[str]]

    def serving(self, options: Any) -> tuple[str, dict[str, Any]]:
        """The function that serves, as "module:function", and its arguments beside the socket."""
        raise NotImplementedError

    def program(self, options: AppOptions) -> str:
        return python_servers.find(self.search, self.packages)

    def version(self, program: str) -> str | None:
        return python_servers.version(program, self.packages)

    def plan(self, options: AppOptions, program: str, secret: str) -> Plan:
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", options.app):
            said = f"{options.app!r} does not say where" if options.app else "say where"
            raise self._invalid("app", f'{said} the app is: app="package.module:app"')
        if options.ready is not None and not options.ready.startswith("/"):
            raise self._invalid("ready", f"{options.ready!r} is not a path, such as '/health'")
        settings.check(self, options.settings, self.ours)
        target, arguments = self.serving(options)
        asked = {"kind": "http", "url": f"http://{{host}}:{{port}}{options.ready}"} if options.ready else None
        return Plan(
            service=self.name,
            command=python_servers.command(program),
            environment=inherited(options.env),
            files=self._files(program, target, arguments),
            ready=asked or python_servers.READY,
            ping=asked or {"kind": "tcp"},
            working_directory=literal(os.getcwd()),
            stop_signal=int(signal.SIGTERM),
            grace=options.grace,
            inherits_socket=True,
            owns_port=False,  # nobody else can have it: the keeper has
        )

    def _files(self, program: str, target: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return python_servers.files(program, target, **arguments)
        except TypeError as error:
            raise self._invalid("settings", f"they go to another process as JSON: {error}") from None

    def _invalid(self, option: str, problem: str) -> InvalidOption:
        return InvalidOption(service=self.name, option=option, problem=problem, known=option_names(self.Options))
