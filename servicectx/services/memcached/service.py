"""memcached: in memory, without authentication. Namespaces are prefixes of keys."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.services import binaries, reasons, settings
from servicectx.services.base import VersionOptions, account_for_root, environment
from servicectx.services.memcached import namespace as memcached_keys
from servicectx.services.plan import Plan, Ports
from servicectx.services.prefixes import Prefixed

if TYPE_CHECKING:
    from servicectx.services.memcached.details import MemcachedDetails

OURS = (
    *("port", "udp-port", "listen", "unix-socket", "unix-mask", "user", "daemon", "pidfile"),
    *("auth-file", "enable-sasl", "enable-ssl", "help", "license", "version"),
    "protocol",  # clients and the probe use the text protocol, which the server detects
)
SOCKET = "memcached.sock"


@dataclass(frozen=True, kw_only=True)
class MemcachedOptions(VersionOptions):
    """`settings`: the server's long options, such as `{"memory-limit": 64}`; True for one without a value.

    `socket`: listen on a Unix socket, and on no port: the server has either of them.
    """

    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    socket: bool = False


class Memcached(Prefixed["MemcachedDetails"]):
    """A cache without a password, since common clients do not support one. Killed at the end."""

    name: ClassVar[str] = "memcached"
    probe_request: ClassVar[str | None] = "version\r\n"
    volatile: ClassVar[str] = "it is a cache in memory; omit keep_data"
    namespace: ClassVar[str | None] = "a prefix for keys"
    separator: ClassVar[str] = ":"
    Options: ClassVar[type] = MemcachedOptions
    Details: ClassVar[Any] = "servicectx.services.memcached.details:MemcachedDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": "common clients do not log in by its text protocol",
        "password": "common clients do not log in by its text protocol",
        "dbname": reasons.NO_DATABASES,
        "flavour": reasons.ONE_SERVER,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; install a package of the system",
        "apt": "apt-get install memcached",
        "brew": "brew install memcached",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/memcached:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("pymemcache>=4",)
    search = binaries.Search(
        service="memcached", programs=("memcached",), formulas=("memcached",), install=tuple(install.items())
    )

    def plan(self, options: MemcachedOptions, program: str, secret: str) -> Plan:
        given = {name.replace("_", "-"): value for name, value in options.settings.items()}
        # The server accepts abbreviated option names.
        settings.check(self, [ours for name in given for ours in OURS if ours.startswith(name.lower())], OURS)
        hello: dict[str, Any] = {"kind": "exchange", "send": "version\r\n", "expect": r"^VERSION (?P<version>\S+)\r\n"}
        listen = ["--listen={host}", "--port={port}", "--udp-port=0"]
        if options.socket:
            hello["socket"] = f"{{socket_dir}}/{SOCKET}"
            listen = [f"--unix-socket={{socket_dir}}/{SOCKET}", "--unix-mask=700"]
        return Plan(
            service=self.name,
            command=[
                *(program, *listen),
                *(
                    f"--{name}" if value is True else f"--{name}={value}"
                    for name, value in given.items()
                    if value is not False
                ),
            ],
            environment=environment(),
            ready=hello,
            ping=hello,
            account=account_for_root("memcache"),
            ports=Ports(owned=not options.socket),
        )

    def details(self, options: MemcachedOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        socket = f"{facts['socket_dir']}/{SOCKET}" if options.socket else ""
        return {"version": facts.get("version"), "socket": socket}

    def stored(self, details: "MemcachedDetails") -> Collection[str]:
        """No keys on an external server, which may hold any number of them. The server evicts stale keys by itself."""
        return () if details.external else memcached_keys.signed(details.host, details.port, details.socket)

    def remove(self, details: "MemcachedDetails", names: list[str]) -> None:
        memcached_keys.remove(details.host, details.port, names, details.socket)
