"""RabbitMQ."""

import base64
import re
import shlex
import signal
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services import binaries, settings
from servicectx.services.base import Service, environment
from servicectx.services.plan import NOT_UTF8, Plan, refused_without_cwd
from servicectx.services.rabbitmq import plugins as rabbitmq_plugins
from servicectx.wire import http

if TYPE_CHECKING:
    from servicectx.services.rabbitmq.details import RabbitmqDetails  # the type parameter below

USER = "test"
KEPT = "kept"  # said of a vhost that outlives its maker
OURS = (
    *("default_user", "default_pass", "loopback_users", "log.console", "log.file", "management.tcp.ip"),
    *("listeners.tcp", "listeners.tcp.1", "listeners.tcp.default", "management.tcp.port"),
)

# A distribution that is up before RabbitMQ looks, on a port that everybody was told: then it starts no epmd, which
# would outlive it. One scheduler that does not spin is the fastest start.
ERLANG = (
    "-sname rabbit@localhost -start_epmd false -erl_epmd_port {port_distribution} "
    "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
)


BREWED = tuple(f"{base}/rabbitmq/sbin" for base in binaries.HOMEBREW)

# Without Erlang's own reports of what crashed, which would follow after what RabbitMQ says of it, and be longer.
QUIET = "[{filters,log,[{quiet,{fun logger_filters:domain/2,{stop,sub,[otp,sasl]}}}]}]"


@dataclass(frozen=True, kw_only=True)
class RabbitmqOptions:
    """`settings`: lines of rabbitmq.conf, such as `{"heartbeat": 10}`. `plugins`: more of them than management."""

    settings: Mapping[str, str | int] = field(default_factory=dict)
    plugins: Sequence[str] = ()


class Rabbitmq(Service["RabbitmqDetails"]):
    """A user with a random password, and the management API, for vhosts. Killed at the end: it leaves nothing."""

    name: ClassVar[str] = "rabbitmq"
    Options: ClassVar[type] = RabbitmqOptions
    Details: ClassVar[Any] = "servicectx.services.rabbitmq.details:RabbitmqDetails"
    namespace: ClassVar[str] = "a vhost"
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; a package of the system brings it",
        "apt": "apt-get install rabbitmq-server",
        "brew": "brew install rabbitmq",
    }
    search = binaries.Search(
        service="rabbitmq",
        programs=("rabbitmq-server",),
        trees=("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/rabbitmq/sbin", *BREWED),
        formulas=("rabbitmq",),
        install=tuple(install.items()),
    )

    def program(self, options: RabbitmqOptions) -> str:
        """The server's own script. What packages put on PATH becomes another user, and refuses all but root."""
        looked: list[str] = []
        for path in binaries.candidates(self.search, looked):
            if Path(path).with_name("rabbitmq-env").exists():
                return path
            looked.append(f"{path}, which is not RabbitMQ's own script")
        raise self.search.not_found(looked)

    def version(self, program: str) -> str | None:
        """By its place: asked in any way, the script starts a broker."""
        found = re.search(r"rabbitmq_server-([\d.]+)/sbin/[^/]+$", program)
        return found[1] if found else None

    def plan(self, options: RabbitmqOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        settings.check_lines(self, options.settings)
        plugins = ["rabbitmq_management", *options.plugins]
        given = {
            "disk_free_limit.absolute": "1MB",
            **options.settings,
            "listeners.tcp.1": "{host}:{port}",
            "default_user": USER,
            "default_pass": secret,
            "loopback_users": "none",
            "log.console": "true",
            "log.file": "false",
            "management.tcp.ip": "{host}",
            "management.tcp.port": "{port_management}",
        }
        hello = {"kind": "exchange", "send": _conversation(USER, secret), "expect": _EXPECTED}
        return Plan(
            service=self.name,
            command=["/bin/sh", "{dir}/start.sh"],
            # Its scripts quote few paths, Erlang parts lists of them at colons, RabbitMQ takes them for glob patterns.
            environment=environment(
                RABBITMQ_SCRIPTS_DIR="{dir|cwd}/tree/sbin",
                RABBITMQ_PLUGINS_DIR="{dir|cwd}/tree/plugins",
                RABBITMQ_MNESIA_BASE="{data|cwd}",
                RABBITMQ_LOG_BASE="{dir|cwd}",
                RABBITMQ_LOGS="-",
                RABBITMQ_CONFIG_FILE="{dir|cwd}/rabbitmq",
                RABBITMQ_ADVANCED_CONFIG_FILE="{dir|cwd}/none.config",
                RABBITMQ_CONF_ENV_FILE="{dir|cwd}/none",
                RABBITMQ_ENABLED_PLUGINS_FILE="{dir|cwd}/enabled_plugins",
                RABBITMQ_NODENAME="rabbit@localhost",
                ERL_EPMD_PORT="1",  # nobody is there: another epmd would be told of each node, all of one name
                RABBITMQ_DIST_PORT="{port_distribution}",
                RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=ERLANG,
                ERL_CRASH_DUMP_SECONDS="0",
                RABBITMQ_ALLOW_INPUT="1",  # or else a shell would wait for it, and be the one that is killed
            ),
            files={
                "start.sh": _script(program, plugins),
                "rabbitmq.conf": "".join(f"{name} = {value}\n" for name, value in given.items()),
                "enabled_plugins": f"[{','.join(plugins)}].\n",
            },
            ready=hello,
            ping=hello,
            ports=["management", "distribution"],
            proves_itself=True,
            refused_in_paths=refused_without_cwd() or NOT_UTF8,
        )

    def kept_plan(self, options: RabbitmqOptions, program: str, secret: str, data: Path | None) -> Plan:
        """As AMQP has it: durable queues and exchanges, and persistent messages in them."""
        plan = self.plan(options, program, secret)
        return plan._replace(clean_signal=int(signal.SIGTERM), clean_statuses=[0, 143, -int(signal.SIGTERM)])

    def details(self, options: RabbitmqOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        told = {"user": USER, "password": secret, "management_port": facts["port_management"]}
        return {**told, "version": facts.get("version")}

    def open_namespace(self, details: "RabbitmqDetails") -> "RabbitmqDetails":
        for vhost in _ask(details, "GET", "vhosts?columns=name,description"):
            if owner_names.owner_is_dead(vhost["name"]) and vhost.get("description") != KEPT:
                _ask(details, "DELETE", f"vhosts/{vhost['name']}")
        name = owner_names.new_name()
        _ask(details, "PUT", f"vhosts/{name}", {})
        everything = dict.fromkeys(("configure", "write", "read"), ".*")
        _ask(details, "PUT", f"permissions/{name}/{quote(details.user, safe='')}", everything)
        return details.model_copy(update={"vhost": name})

    def keep_namespace(self, namespace: "RabbitmqDetails") -> None:
        _ask(namespace, "PUT", f"vhosts/{namespace.vhost}", {"description": KEPT})

    def close_namespace(self, namespace: "RabbitmqDetails") -> None:
        _ask(namespace, "DELETE", f"vhosts/{namespace.vhost}")


def _ask(details: "RabbitmqDetails", method: str, path: str, body: Any = None) -> Any:
    """A request to the management API. What is gone already may be removed."""
    if details.management_port is None:
        raise NotIsolable(service="rabbitmq", reason="vhosts are made by the management API: give its management_port")
    login = base64.b64encode(f"{details.user}:{details.password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    answer = http.ask(details.host, details.management_port, method, f"/api/{path}", body, headers, wait=30.0)
    if answer.status >= 400 and (method, answer.status) != ("DELETE", 404):
        raise NotIsolable(service="rabbitmq", reason=f"{method} {path}: {answer.status} {answer.text.strip()}")
    return answer.data


def _script(program: str, plugins: list[str]) -> str:
    """Shows the server those applications alone that it needs: it looks each module up in all of them, and halves its
    start.
    """
    tree = Path(program).parents[1]
    links = [(path, f"plugins/{path.name}") for path in rabbitmq_plugins.needed(tree / "plugins", ["rabbit", *plugins])]
    links += [(tree / name, name) for name in ("sbin", "escript")]
    lines = [f"ln -sfn {shlex.quote(str(path))} tree/{shlex.quote(name)}" for path, name in links]
    start = f"exec {shlex.quote(program)} -noinput -kernel logger {shlex.quote(QUIET)}"
    return "\n".join(["set -e", "mkdir -p tree/plugins", *lines, start, ""])


def _conversation(user: str, password: str) -> str:
    """All that a client says that logs in and leaves again, at once (AMQP 0-9-1)."""

    def method(number: int, arguments: bytes) -> bytes:
        payload = struct.pack(">HH", 10, number) + arguments
        return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"

    def short(text: str) -> bytes:
        return struct.pack("B", len(text)) + text.encode()

    plain = f"\0{user}\0{password}".encode()
    start_ok = struct.pack(">I", 0) + short("PLAIN") + struct.pack(">I", len(plain)) + plain + short("en_US")
    tune_ok = struct.pack(">HIH", 1, 8192, 0)
    close = struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0)
    open_ = short("/") + b"\0\0"
    said = [method(11, start_ok), method(31, tune_ok), method(40, open_), method(50, close)]
    return (b"AMQP\0\0\x09\x01" + b"".join(said)).decode("latin-1")


# Its version, told at once; that the vhost is open; that it heard the good-bye.
_EXPECTED = r"\x07versionS....(?P<version>[\d.]+).*\x00\x0a\x00\x29.*\x00\x0a\x00\x33"
