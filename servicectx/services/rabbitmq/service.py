"""RabbitMQ."""

import re
import shlex
import signal
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login_checks, reasons, settings
from servicectx.services.base import Service, VersionOptions, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.plan import NOT_UTF8, PathLimits, Plan, Ports, SnapshotSupport, literal, refused_without_cwd
from servicectx.services.rabbitmq import plugins as rabbitmq_plugins
from servicectx.services.rabbitmq.vhosts import RabbitmqVhosts

if TYPE_CHECKING:
    from servicectx.services.rabbitmq.details import RabbitmqDetails  # the type parameter below

USER = "test"
OURS = (
    *("default_user", "default_pass", "default_vhost", "loopback_users", "log.console", "log.file"),
    *("listeners.tcp", "listeners.tcp.1", "listeners.tcp.default", "management.tcp.ip", "management.tcp.port"),
)
LOCKS = re.compile(
    r"(auth_(mechanisms|backends)|default_(permissions|user_tags|users)"
    r"|(loopback_users|listeners\.tcp|management\.tcp|management\.listener)\.)"
)
NO_ANONYMOUS = 'clients of RabbitMQ always log in, by default as guest; use user="guest", password="guest"'
LONGEST = 255  # bytes of a name in AMQP

# Erlang's distribution starts before RabbitMQ checks it, on a port set in advance. RabbitMQ then starts no epmd, which
# would outlive the server. One scheduler without busy waiting starts fastest.
ERLANG = (
    "-sname rabbit@localhost -start_epmd false -erl_epmd_port {port_distribution} "
    "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
)


BREWED = tuple(f"{base}/rabbitmq/sbin" for base in binaries.HOMEBREW)

# Drop Erlang's own crash reports: they follow RabbitMQ's error messages, and are longer.
QUIET = "[{filters,log,[{quiet,{fun logger_filters:domain/2,{stop,sub,[otp,sasl]}}}]}]"


@dataclass(frozen=True, kw_only=True)
class RabbitmqOptions(VersionOptions):
    """`user`, `password`, `vhost`: the login, and the virtual host of the details. `settings`: lines of rabbitmq.conf,
    such as `{"heartbeat": 10}`. `plugins`: plugins besides management.
    """

    user: str = USER
    password: Password = RANDOM
    vhost: str = "/"
    settings: Mapping[str, str | int] = field(default_factory=dict)
    plugins: Sequence[str] = ()


class Rabbitmq(Service["RabbitmqDetails"]):
    """A server with one user, by default a random password, and the management API, which creates vhosts. Killed at the
    end.
    """

    name: ClassVar[str] = "rabbitmq"
    probe_request: ClassVar[str | None] = "AMQP\0\0\x09\x01"
    Options: ClassVar[type] = RabbitmqOptions
    Details: ClassVar[Any] = "servicectx.services.rabbitmq.details:RabbitmqDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "password=None": NO_ANONYMOUS,
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
    namespace: ClassVar[str] = "a vhost"
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; install a package of the system",
        "apt": "apt-get install rabbitmq-server",
        "brew": "brew install rabbitmq",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/rabbitmq:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("pika>=1.4", "aio-pika>=10")
    search = binaries.Search(
        service="rabbitmq",
        programs=("rabbitmq-server",),
        trees=("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/rabbitmq/sbin", *BREWED),
        formulas=("rabbitmq",),
        install=tuple(install.items()),
    )

    def refusal(self, program: str) -> str | None:
        """Refuse the wrapper that packages put on PATH: it changes the account, and requires root."""
        if Path(program).with_name("rabbitmq-env").exists():
            return None
        return f"{program} is a wrapper, which is not RabbitMQ's own script"

    def version(self, program: str) -> str | None:
        """The version in the script's path. The script itself starts a broker with any arguments."""
        found = re.search(r"rabbitmq_server-([\d.]+)/sbin/[^/]+$", program)
        return found[1] if found else None

    def plan(self, options: RabbitmqOptions, program: str, secret: str) -> Plan:
        user, password = self._login(options, secret)
        settings.check(self, options.settings, [*OURS, *filter(LOCKS.match, map(str.lower, options.settings))])
        settings.check_lines(self, options.settings)
        plugins = ["rabbitmq_management", *options.plugins]
        given = {
            "disk_free_limit.absolute": "1MB",
            **options.settings,
            "listeners.tcp.1": "{host}:{port}",
            "loopback_users": "none",
            "log.console": "true",
            "log.file": "false",
            "management.tcp.ip": "{host}",
            "management.tcp.port": "{port_management}",
        }
        hello = {"kind": "exchange", "send": _conversation(user, password, options.vhost), "expect": _EXPECTED}
        return Plan(
            service=self.name,
            command=["/bin/sh", "{dir}/start.sh"],
            # The scripts quote few paths, Erlang splits lists of paths at colons, RabbitMQ expands globs in paths.
            environment=environment(
                RABBITMQ_SCRIPTS_DIR="{dir|cwd}/tree/sbin",
                RABBITMQ_PLUGINS_DIR="{dir|cwd}/tree/plugins",
                RABBITMQ_MNESIA_BASE="{data|cwd}",
                RABBITMQ_LOG_BASE="{dir|cwd}",
                RABBITMQ_LOGS="-",
                RABBITMQ_CONFIG_FILE="{dir|cwd}/rabbitmq",
                RABBITMQ_ADVANCED_CONFIG_FILE="{dir|cwd}/login.config",
                RABBITMQ_CONF_ENV_FILE="{dir|cwd}/none",
                RABBITMQ_ENABLED_PLUGINS_FILE="{dir|cwd}/enabled_plugins",
                RABBITMQ_NODENAME="rabbit@localhost",
                ERL_EPMD_PORT="1",  # no epmd listens there; a real epmd would register each node, all under one name
                RABBITMQ_DIST_PORT="{port_distribution}",
                RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=ERLANG,
                ERL_CRASH_DUMP_SECONDS="0",
                RABBITMQ_ALLOW_INPUT="1",  # otherwise a shell waits for Erlang, and the signals reach that shell
            ),
            files={
                "start.sh": _script(program, plugins),
                "rabbitmq.conf": "".join(f"{name} = {value}\n" for name, value in given.items()),
                "login.config": _erlang({"user": user, "pass": password, "vhost": options.vhost}),
                "enabled_plugins": f"[{','.join(plugins)}].\n",
            },
            ready=hello,
            ping=hello,
            ports=Ports(["management", "distribution"], probe_authenticates=options.password == RANDOM),
            paths=PathLimits(refused_without_cwd() or NOT_UTF8),
        )

    def kept_plan(self, options: RabbitmqOptions, program: str, secret: str, data: Path | None) -> Plan:
        """Keep what AMQP defines as durable: durable queues and exchanges, and their persistent messages."""
        plan = self.plan(options, program, secret)
        return plan._replace(snapshot=SnapshotSupport(int(signal.SIGTERM), [0, 143, -int(signal.SIGTERM)]))

    def details(self, options: RabbitmqOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        user, password = self._login(options, secret)
        fields = {"user": user, "password": password, "vhost": options.vhost}
        return {**fields, "management_port": facts["port_management"], "version": facts.get("version")}

    def _login(self, options: RabbitmqOptions, secret: str) -> tuple[str, str]:
        """User and password. A colon in the user's name would divide it in the management API (RFC 7617)."""
        login_checks.check(self, options, without=":", longest=LONGEST)
        login_checks.check_text(self, "vhost", options.vhost, longest=LONGEST)
        password = chosen(options.password, secret)
        if password is None:
            raise login_checks.refused(self, "password", NO_ANONYMOUS)
        return options.user, password

    def isolation(self, details: "RabbitmqDetails", data: str = "") -> Isolation["RabbitmqDetails"]:
        return RabbitmqVhosts(details)


def _script(program: str, plugins: list[str]) -> str:
    """A start script that links only the required applications into the tree. The server searches all of them for each
    module, so this halves the start.
    """
    tree = Path(program).parents[1]
    links = [(path, f"plugins/{path.name}") for path in rabbitmq_plugins.needed(tree / "plugins", ["rabbit", *plugins])]
    links += [(tree / name, name) for name in ("sbin", "escript")]
    lines = [f"ln -sfn {shlex.quote(str(path))} tree/{shlex.quote(name)}" for path, name in links]
    start = f"exec {shlex.quote(program)} -noinput -kernel logger {shlex.quote(QUIET)}"
    return "\n".join(["set -e", "mkdir -p tree/plugins", *lines, start, ""])


def _erlang(login: Mapping[str, str]) -> str:
    """The login as Erlang terms. rabbitmq.conf has no quotes, and cuts values at `#`."""
    terms = (f"{{default_{name},<<{','.join(map(str, value.encode()))}>>}}" for name, value in login.items())
    return f"[{{rabbit,[{','.join(terms)}]}}].\n"


def _conversation(user: str, password: str, vhost: str) -> str:
    """All bytes that a client sends to log in and out again, in one block (AMQP 0-9-1)."""

    def method(number: int, arguments: bytes) -> bytes:
        payload = struct.pack(">HH", 10, number) + arguments
        return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"

    def short(text: str) -> bytes:
        return struct.pack("B", len(text.encode())) + text.encode()

    plain = f"\0{user}\0{password}".encode()
    start_ok = struct.pack(">I", 0) + short("PLAIN") + struct.pack(">I", len(plain)) + plain + short("en_US")
    tune_ok = struct.pack(">HIH", 1, 8192, 0)
    close = struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0)
    open_ = short(vhost) + b"\0\0"
    methods = [method(11, start_ok), method(31, tune_ok), method(40, open_), method(50, close)]
    return literal((b"AMQP\0\0\x09\x01" + b"".join(methods)).decode("latin-1"))


# The server's greeting with its version, the confirmation of the open vhost, and that of the close.
_EXPECTED = r"\x07versionS....(?P<version>[\d.]+).*\x00\x0a\x00\x29.*\x00\x0a\x00\x33"
