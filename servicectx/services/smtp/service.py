"""A mail server that stores messages in a maildir and delivers none."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login_checks, python_servers, reasons, settings
from servicectx.services.base import Service, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.plan import Plan, Ports, literal
from servicectx.services.smtp.server import USER
from servicectx.services.smtp.users import SmtpUsers

if TYPE_CHECKING:
    from servicectx.services.smtp.details import SmtpDetails  # the type parameter below

OURS = (
    *("handler", "loop", "authenticator", "auth_required", "auth_require_tls", "tls_context", "require_starttls"),
    "proxy_protocol_timeout",  # with it, the server refuses clients that are not proxies
)


@dataclass(frozen=True, kw_only=True)
class SmtpOptions:
    """`user`, `password`: the login; None means none. `login`: whether sending mail requires a login. `settings`:
    arguments of `aiosmtpd.smtp.SMTP`, such as `{"data_size_limit": 10_000}`.
    """

    user: str = USER
    password: Password = RANDOM
    login: bool = True
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Smtp(Service["SmtpDetails"]):
    """A server with one user, by default a random password. A namespace is a further user, with its own maildir and
    password.
    """

    name: ClassVar[str] = "smtp"
    probe_request: ClassVar[str | None] = "QUIT\r\n"
    Options: ClassVar[type] = SmtpOptions
    Details: ClassVar[Any] = "servicectx.services.smtp.details:SmtpDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "it has maildirs instead of databases; isolated() gives one",
        "socket": reasons.CLIENTS_USE_PORTS,
        "version": reasons.THIS_PACKAGE,
        "flavour": reasons.ONE_SERVER,
    }
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
        login_checks.check(self, options)
        for option in ("user", "password"):
            if not (getattr(options, option) or "").isascii():
                raise login_checks.refused(self, option, "smtplib logs in with ASCII characters only")
        settings.check(self, options.settings, OURS)
        own = chosen(options.password, secret)
        files = python_servers.files(
            program,
            "servicectx.services.smtp.server:serve",
            main_user=literal(options.user),
            secret=literal(own or ""),
            login=options.login and own is not None,
            directory="{dir}/mail",
            settings=dict(options.settings),
        )
        plain = base64.b64encode(f"\0{options.user}\0{own}".encode()).decode()
        login = f"AUTH PLAIN {plain}\r\n" if own else "MAIL FROM:<>\r\n"
        expected = r"\n235 " if own else r"\n250 OK"
        hello = {"kind": "exchange", "send": f"EHLO localhost\r\n{login}QUIT\r\n", "expect": expected}
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
        own = chosen(options.password, secret)
        login = {"user": options.user, "password": own} if own else {}
        return {**login, "maildir": f"{facts['dir']}/mail/{USER}"}

    def isolation(self, details: "SmtpDetails", data: str = "") -> Isolation["SmtpDetails"]:
        return SmtpUsers(details)
