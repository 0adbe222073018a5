"""MQTT: mosquitto, or amqtt, which is a Python package."""

import base64
import hashlib
import os
import signal
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from servicectx.errors import BinaryNotFound
from servicectx.services import binaries, login_checks, python_servers, reasons, settings, version_choice
from servicectx.services.base import VersionOptions, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.mqtt import wire as mqtt_wire
from servicectx.services.plan import Plan, Ports, SnapshotSupport, literal
from servicectx.services.prefixes import Prefixed

if TYPE_CHECKING:
    from servicectx.services.mqtt.details import MqttDetails  # the type parameter below

USER = "servicectx"
OURS = {
    "mosquitto": (
        *("listener", "port", "bind_address", "allow_anonymous", "password_file", "user", "pid_file"),
        *("log_dest", "persistence", "persistence_location", "autosave_interval", "per_listener_settings"),
        # Other logins, TLS and rights: the probe and the clients that read the details would have no access.
        *("acl_file", "auth_plugin", "plugin", "psk_file", "psk_hint", "cafile", "capath", "certfile", "keyfile"),
        *("require_certificate", "use_identity_as_username", "use_subject_as_username", "crlfile"),
        # Further addresses, other protocols, other topics, and files with any of these lines.
        *("bind_interface", "socket_domain", "protocol", "mount_point", "clientid_prefixes", "include_dir"),
        "use_username_as_clientid",  # all clients have one user: each connection would end the one before
    ),
    "amqtt": ("listeners", "plugins"),
}


@dataclass(frozen=True, kw_only=True)
class MqttOptions(VersionOptions):
    """`user`, `password`: the login; None means none. `server`: the broker to run, by default the first that
    is found. `settings`: lines of mosquitto.conf, or entries of amqtt's configuration.
    """

    user: str = USER
    password: Password = RANDOM
    server: Literal["mosquitto", "amqtt"] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Mqtt(Prefixed["MqttDetails"]):
    """A broker with one user, by default a random password. A snapshot holds mosquitto's retained messages. Killed at
    the end.
    """

    name: ClassVar[str] = "mqtt"
    # CONNECT; a broker also answers one that it refuses.
    probe_request: ClassVar[str | None] = "\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ok"
    Options: ClassVar[type] = MqttOptions
    Details: ClassVar[Any] = "servicectx.services.mqtt.details:MqttDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "it has topics instead of databases",
        "socket": reasons.CLIENTS_USE_PORTS,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[mqtt]'",
        "apt": "apt-get install mosquitto",
        "brew": "brew install mosquitto",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/eclipse-mosquitto:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("amqtt>=0.12.1", "paho-mqtt>=2.2")
    namespace: ClassVar[str] = "a prefix for topics; retained messages are removed"
    volatile: ClassVar[str] = 'amqtt keeps all data in memory; use server="mosquitto", or omit keep_data'
    separator: ClassVar[str] = "/"
    search = binaries.Search(
        service="mqtt", programs=("mosquitto",), formulas=("mosquitto",), install=tuple(install.items())
    )
    package = search._replace(programs=("amqtt",), formulas=())

    def program(self, options: MqttOptions) -> str:
        """mosquitto in the version that `options` ask for, else amqtt in that version. Raises BinaryNotFound."""
        if options.server == "amqtt":
            return self._package(options)
        try:
            return super().program(options)
        except BinaryNotFound as missing:
            if options.server:
                raise
            try:
                return self._package(options)
            except BinaryNotFound as missing_package:
                looked = [*missing.looked, *missing_package.looked]
                lines = "\n".join(filter(None, (missing.problem, missing_package.problem))).splitlines()
                problem = "\n".join(dict.fromkeys(lines)) or None
                raise self.search.not_found(looked, problem, missing.install) from None

    def _package(self, options: MqttOptions) -> str:
        path = python_servers.find(self.package, ("amqtt",))
        if problem := version_choice.misfit(self, self.package, options, path):
            raise version_choice.none_fits(self, self.package, options, [path], [(path, problem)])
        return path

    def version(self, program: str) -> str | None:
        if os.path.basename(program).startswith("python"):
            return python_servers.version(program, ("amqtt",))
        return binaries.ask_version(program, ("-h",))

    def plan(self, options: MqttOptions, program: str, secret: str) -> Plan:
        login_checks.check(self, options, without=":#")  # both servers read the file of users, with its comments
        password = chosen(options.password, secret)
        make = self._amqtt if os.path.basename(program).startswith("python") else self._mosquitto
        return make(options, program, password)

    def kept_plan(self, options: MqttOptions, program: str, secret: str, data: Path | None) -> Plan | None:
        """Write the data file after each change. Only mosquitto has a data file."""
        plan = self.plan(options, program, secret)
        if "mosquitto.conf" not in plan.files:
            return None
        often = "autosave_interval 1\nautosave_on_changes true\n"
        text = plan.files["mosquitto.conf"].replace("autosave_interval 0\n", often)
        support = SnapshotSupport(int(signal.SIGTERM))
        return plan._replace(files={**plan.files, "mosquitto.conf": text}, snapshot=support)

    def details(self, options: MqttOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        password = chosen(options.password, secret)
        login = {"user": options.user, "password": password} if password else {}
        return {**login, "version": facts.get("version")}

    def stored(self, details: "MqttDetails") -> Collection[str]:
        with closing(_connect(details)) as connection:
            return connection.retained(f"{details.prefix}#")

    def remove(self, details: "MqttDetails", names: list[str]) -> None:
        with closing(_connect(details)) as connection:
            for name in names:
                connection.retain(name)

    def store(self, details: "MqttDetails", name: str) -> None:
        with closing(_connect(details)) as connection:
            connection.retain(name, "kept")

    def _mosquitto(self, options: MqttOptions, program: str, password: str | None) -> Plan:
        settings.check(self, options.settings, OURS["mosquitto"])
        settings.check_lines(self, options.settings)
        lines = {
            "log_type": "error",
            "listener": "{port} {host}",  # before settings of listeners, which would open one on port 1883
            **options.settings,
            **({"allow_anonymous": False, "password_file": "users"} if password else {"allow_anonymous": True}),
            "log_dest": "stderr",
            "persistence": True,
            "persistence_location": "{data|relative}/",
            "autosave_interval": 0,  # only at the end: for snapshots
        }
        if os.geteuid() == 0:
            lines["user"] = "root"  # mosquitto's default account cannot read the file of users
        text = "".join(f"{name} {settings.text(value)}\n" for name, value in lines.items())
        version = mqtt_wire.subscribe(1, "$SYS/broker/version").decode("latin-1")
        return Plan(
            service=self.name,
            command=[program, "-c", "{dir}/mosquitto.conf"],
            environment=environment(),
            files={"mosquitto.conf": text, "users": _users(options.user, password)},
            ready={
                "kind": "exchange",
                "send": _hello(options, password) + version,
                "expect": mqtt_wire.ACCEPTED + r".*mosquitto version (?P<version>[\d.]+)",
            },
            ping=_login(options, password),
            snapshot=SnapshotSupport(int(signal.SIGTERM), survives_kill=False),
        )

    def _amqtt(self, options: MqttOptions, program: str, password: str | None) -> Plan:
        settings.check(self, options.settings, OURS["amqtt"])
        return Plan(
            service=self.name,
            command=python_servers.command(program),
            environment=environment(),
            files=python_servers.files(
                program,
                "servicectx.services.mqtt.server:serve",
                user=literal(options.user),
                secret=password and literal(password),
                file="{dir}/users",
                settings=dict(options.settings),
            ),
            ready=_login(options, password),
            ping=_login(options, password),
            ports=Ports(inherits_socket=True, owned=False),  # the keeper already holds it
        )


def _connect(details: "MqttDetails") -> mqtt_wire.Connection:
    return mqtt_wire.Connection(details.host, details.port, details.user, details.password)


def _login(options: MqttOptions, password: str | None) -> dict[str, Any]:
    return {"kind": "exchange", "send": _hello(options, password), "expect": mqtt_wire.ACCEPTED}


def _hello(options: MqttOptions, password: str | None) -> str:
    return literal(mqtt_wire.hello(options.user if password else "", password or "").decode("latin-1"))


def _users(user: str, password: str | None) -> str:
    """The file of users, with a hash in the format of mosquitto_passwd, a program that may be missing."""
    if password is None:
        return ""
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{literal(user)}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n"
