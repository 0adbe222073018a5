"""A mail server that stores messages in a maildir and delivers none."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, python_servers, settings
from servicectx.services.base import Service, environment
from servicectx.services.plan import Plan, Ports
from servicectx.services.smtp.server import USER
from servicectx.services.smtp.users import SmtpUsers

if TYPE_CHECKING:
    from servicectx.services.smtp.details import SmtpDetails  # the type parameter below

OURS = ("handler", "loop", "authenticator", "auth_required", "auth_require_tls", "tls_context", "require_starttls")


@dataclass(frozen=True, kw_only=True)
class SmtpOptions:
    """`login`: whether sending mail requires a login. `settings`: arguments of `aiosmtpd.smtp.SMTP`, such as
    `{"data_size_limit": 10_000}`.
    """

    login: bool = True
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Smtp(Service["SmtpDetails"]):
    """A server with one user and a random password. A namespace is a further user with its own maildir and password."""

    name: ClassVar[str] = "smtp"
    Options: ClassVar[type] = SmtpOptions
    Details: ClassVar[Any] = "servicectx.services.smtp.details:SmtpDetails"
    volatile: ClassVar[str] = "mail is removed with its server; read details.messages before the end, or omit keep_data"
    namespace: ClassVar[str] = "a user with a maildir"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[smtp]'",
        "apt": "apt-get install python3-aiosmtpd  # SERVICECTX_SMTP_BIN: /usr/bin",
        "brew": "brew install pipx && pipx install aiosmtpd  # SERVICECTX_SMTP_BIN: bin in its environment",
    }
    requirements: ClassVar[tuple[str, ...]] = ("aiosmtpd>=1.4.6",)
    search = binaries.Search(service="smtp", programs=("aiosmtpd",), install=tuple(install.items()))

    def program(self, options: SmtpOptions) -> str:
        return python_servers.find(self.search, ("aiosmtpd",))

    def version(self, program: str) -> str | None:
        return python_servers.version(program, ("aiosmtpd",))

    def plan(self, options: SmtpOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        files = python_servers.files(
            program,
            "servicectx.services.smtp.server:serve",
            secret=secret,
            login=options.login,
            directory="{dir}/mail",
            settings=dict(options.settings),
        )
        plain = base64.b64encode(f"\0{USER}\0{secret}".encode()).decode()
        hello = {"kind": "exchange", "send": f"EHLO localhost\r\nAUTH PLAIN {plain}\r\nQUIT\r\n", "expect": r"\n235 "}
        return Plan(
            service=self.name,
            command=python_servers.command(program),
            environment=environment(),
            files=files,
            ready=hello,
            ping=hello,
            ports=Ports(inherits_socket=True, owned=False),  # the keeper already holds it
        )

    def details(self, options: SmtpOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"user": USER, "password": secret, "maildir": f"{facts['dir']}/mail/{USER}"}

    def isolation(self, details: "SmtpDetails", data: str = "") -> Isolation["SmtpDetails"]:
        return SmtpUsers(details)
