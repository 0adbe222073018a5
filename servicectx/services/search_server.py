"""Elasticsearch and OpenSearch: unpacked archives, run with the instance's own configuration directory.

Written from their documentation and their start scripts: https://www.elastic.co/docs/deploy-manage/deploy/self-managed,
.../users-roles/cluster-or-deployment-auth/file-based (users in files), and
https://docs.opensearch.org/latest/install-and-configure/. Tested against a stand-in only.
"""

import base64
import os
import re
import signal
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services import binaries, login_checks, probe_requests, settings
from servicectx.services.base import VersionOptions, account_for_root, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.plan import PathLimits, Plan, Ports, SnapshotSupport
from servicectx.services.prefixes import Prefixed, Prefixes
from servicectx.system.originals import json
from servicectx.wire import http

D = TypeVar("D", bound=Any)

USER = "servicectx"

OURS = (
    *("discovery.type", "http.host", "http.port", "network.host", "path.data", "path.logs", "transport.host"),
    *("transport.port", "xpack.security.enabled", "plugins.security.disabled"),
    *("http.bind_host", "network.bind_host", "transport.bind_host"),
)
# Other logins, and TLS: the probe and the clients that read the details would have no access.
LOCKS = ("xpack.security.", "plugins.security.")

LOG = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""

# The Java options of the archive that are replaced: sizes, and options that write files into the archive's tree.
REPLACED = re.compile(r"-Xm[sx]|-Xlog|loggc|GCLog|PrintGC|HeapDump|ErrorFile|java\.io\.tmpdir|UsePerfData|\$\{")


class _Refused(OSError):
    """The server answered with an error."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions(VersionOptions):
    """`user`, `password`: the login; None means none. `heap`: Java's memory. `settings`: lines of the server's own .yml
    file, by their dotted names.
    """

    user: str = USER
    password: Password = RANDOM
    heap: str = "512m"
    settings: Mapping[str, Any] = field(default_factory=dict)


class SearchServer(Prefixed[D]):
    """One node with its own configuration directory. It refuses root, and is killed at the end."""

    Options: ClassVar[type] = SearchOptions
    probe_request: ClassVar[str | None] = probe_requests.HTTP
    namespace: ClassVar[str | None] = "a prefix for indices, which are removed"
    separator: ClassVar[str] = "-"
    variables: ClassVar[str]
    search: ClassVar[binaries.Search]

    def given_login(self, options: SearchOptions, secret: str) -> tuple[str, str | None]:
        """User and password; None without a login. Raises InvalidOption."""
        login_checks.check(self, options, without=":")
        return options.user, chosen(options.password, secret)

    def lines(self, home: Path, protected: bool) -> dict[str, Any]:
        """The lines of configuration that are specific to the product."""
        raise NotImplementedError

    def users(self, user: str, password: str) -> dict[str, str]:
        """The files that define the users."""
        return {}

    def refusal(self, program: str) -> str | None:
        if re.search("/etc/(default|sysconfig)/", _text(Path(f"{program}-env"))):
            return f"{program} insists on the configuration of its system package; unpack an archive"
        return None

    def plan(self, options: SearchOptions, program: str, secret: str) -> Plan:
        user, password = self.given_login(options, secret)
        names = list(_names(options.settings))
        locks = [name.lower() for name in names if name.lower().startswith(LOCKS)]
        settings.check(self, names, [*OURS, *locks])
        home = Path(program).parents[1]
        lines = {
            "cluster.name": "servicectx",
            "network.host": "{host}",
            "http.port": "{port}",
            "transport.port": "{port_transport}",
            "discovery.type": "single-node",
            "path.data": "{data}",
            "path.logs": "{dir}/logs",
            "cluster.routing.allocation.disk.threshold_enabled": False,
            **self.lines(home, password is not None),
            **options.settings,
        }
        java = [line for line in _text(home / "config/jvm.options").splitlines() if line[:1] not in ("", "#")]
        java = [line for line in java if not REPLACED.search(line)]
        java += [f"-Xms{options.heap}", f"-Xmx{options.heap}", "-Djava.io.tmpdir={dir}", "-XX:-UsePerfData"]
        java += ["-XX:ErrorFile={dir}/hs_err_pid%p.log"]
        login = (
            "".join(f"{name}: {value}\r\n" for name, value in self.login(user, password).items()) if password else ""
        )
        hello = f"GET / HTTP/1.1\r\nHost: {{host}}\r\n{login}"
        health = f"GET /_cluster/health?wait_for_status=yellow&timeout=1s HTTP/1.1\r\nHost: {{host}}\r\n{login}"
        close = "Connection: close\r\n\r\n"
        return Plan(
            service=self.name,
            command=[program],
            environment=environment(
                **{f"{self.variables}_PATH_CONF": "{dir}", f"{self.variables}_TMPDIR": "{dir}"},
                **{
                    name: os.environ[name]
                    for name in (f"{self.variables}_JAVA_HOME", "JAVA_HOME")
                    if name in os.environ
                },
            ),
            files={
                f"{self.name}.yml": "".join(f"{name}: {json.dumps(value)}\n" for name, value in lines.items()),
                "jvm.options": "\n".join(java) + "\n",
                "log4j2.properties": LOG,
                **(self.users(user, password) if password else {}),
            },
            ready={
                "kind": "exchange",
                "send": f"{hello}\r\n{health}{close}",
                "expect": r'^HTTP/1.1 200 .*?"number"\s*:\s*"(?P<version>[^"]+)".*HTTP/1.1 200 .*"(?:green|yellow)"',
            },
            ping={"kind": "exchange", "send": hello + close, "expect": "^HTTP/1.1 200 "},
            account=account_for_root(self.name),
            program_tree=str(home),
            snapshot=SnapshotSupport(int(signal.SIGTERM), [0, 143]),
            ports=Ports(["transport"]),
            expected_size=128 * 2**20,
            # The start scripts do not quote Java options, and the settings are lists split at commas.
            paths=PathLimits(r"[^\w/.+%=@:~-]"),
        )

    def login(self, user: str, password: str) -> dict[str, str]:
        """The header with the login."""
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def isolation(self, details: D, data: str = "") -> Prefixes[D]:
        return IndexPrefixes(self, details)

    def stored(self, details: D) -> Collection[str]:
        path = f"/_cat/indices/{owner_names.PREFIX}_*?format=json&h=index&expand_wildcards=all"
        return [row["index"] for row in self._request(details, "GET", path).data]

    def remove(self, details: D, names: list[str]) -> None:
        for name in names:
            self._request(details, "DELETE", f"/{name}?ignore_unavailable=true")

    def _request(self, details: D, method: str, path: str) -> http.Answer:
        login = self.login(details.user, details.password) if details.user else {}
        answer = http.ask(details.host, details.port, method, path, headers=login, tls=details.scheme == "https")
        if answer.status >= 400:
            raise _Refused(f"status {answer.status} for {method} {path}: {answer.text[:200]}")
        return answer


class IndexPrefixes(Prefixes[D]):
    """Prefixes of indices."""

    def create(self) -> D:
        try:
            return super().create()
        except _Refused as refusal:
            raise NotIsolable(service=self.service.name, reason=f"the server refuses: {refusal}") from None


def _names(given: Mapping[str, Any]) -> Iterator[str]:
    """The dotted names of settings. The value of a setting may be a mapping of further names."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{rest}" for rest in _names(value))
        else:
            yield name


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
