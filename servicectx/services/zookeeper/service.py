"""ZooKeeper, a single server. Namespaces are paths."""

import glob
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, reasons, settings
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.plan import PathLimits, Plan, SnapshotSupport, quoted, refused_without_cwd
from servicectx.services.zookeeper.paths import ZookeeperPaths

if TYPE_CHECKING:
    from servicectx.services.zookeeper.details import ZookeeperDetails

OURS = (
    *("datadir", "datalogdir", "clientport", "clientportaddress", "secureclientport", "secureclientportaddress"),
    *("server", "admin", "metricsprovider", "dynamicconfigfile", "quorumlistenonallips"),
    *("sessionrequireclientsaslauth", "enforce"),  # clients have no login
)
COMMANDS = "4lw.commands.whitelist"

SETTINGS: dict[str, str | int | bool] = {
    "tickTime": 2000,
    "maxClientCnxns": 0,  # unlimited; the default is 60 for one address, and all clients share one
    COMMANDS: "ruok,stat,mntr,conf,envi,cons,isro",  # kazoo sends some of these
    "admin.enableServer": False,  # it would listen on a further port, on every interface
}
UNSYNCED = "-Dzookeeper.forceSync=no"
JAVA_OPTIONS = (
    *("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-XX:-UsePerfData", "-XX:+DisableAttachMechanism", "-Djava.io.tmpdir={dir|cwd}"),  # nothing below /tmp
    "-Djava.net.preferIPv4Stack=true",
    *(UNSYNCED, "-Dzookeeper.preAllocSize=64"),  # throwaway data; in KB
    "-Dlogback.configurationFile={dir|cwd}/logback.xml",
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showThreadName=false"),
)
LOGGING = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level %logger{0}: %message%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""
ENDED_BY_SIGTERM = 143  # the exit status of Java


@dataclass(frozen=True, kw_only=True)
class ZookeeperOptions(VersionOptions):
    """`settings`: lines of zoo.cfg, such as `{"tickTime": 200}`."""

    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class Zookeeper(Service["ZookeeperDetails"]):
    """A server without a login, as clients expect, and without syncs to disk. Killed at the end."""

    name: ClassVar[str] = "zookeeper"
    probe_request: ClassVar[str | None] = "ruok\n"  # longer than the head of a record of TLS
    namespace: ClassVar[str | None] = "a path"
    Options: ClassVar[type] = ZookeeperOptions
    Details: ClassVar[Any] = "servicectx.services.zookeeper.details:ZookeeperDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": "it has no login: clients add their own rights to single paths",
        "password": "it has no login: clients add their own rights to single paths",
        "dbname": "it has paths instead of databases; isolated() gives one",
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; install a package of the system",
        "apt": "apt-get install zookeeper",
        "brew": "brew install zookeeper",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/zookeeper:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("kazoo>=2.11",)
    search = binaries.Search(
        service="zookeeper",
        programs=("zkServer.sh", "zkServer"),
        trees=("/usr/share/zookeeper/bin", "/opt/zookeeper*/bin", "/opt/apache-zookeeper*/bin"),
        formulas=("zookeeper",),
        install=tuple(install.items()),
    )
    shell = search._replace(service="zookeeper_cli", programs=("zkCli.sh", "zkCli"))
    java = binaries.Search(
        service="java",
        programs=("java",),
        trees=("/usr/lib/jvm/*/bin",),
        formulas=("openjdk",),
        install=(("apt", "apt-get install default-jre-headless"), ("brew", "brew install openjdk")),
    )

    def program(self, options: ZookeeperOptions) -> str:
        found = super().program(options)
        self._java()
        return found

    def refusal(self, program: str) -> str | None:
        jars = _jars(program)
        if any(":" in jar for jar in jars):
            return f"Java splits its list of jars at colons, so a path must not have one: {', '.join(jars)}"
        return None if jars else f"there are no jars of ZooKeeper near {program}"

    def version(self, program: str) -> str | None:
        """The version in the name of a jar, as in zookeeper-3.8.0.jar: the script would start a JVM for it."""
        for jar in _jars(program)[:1]:
            names = sorted(path.name for path in Path(jar).parent.glob("zookeeper-*.jar"))
            found = (re.fullmatch(r"zookeeper-([\d.]+)\.jar", name) for name in names)
            return next((match[1] for match in found if match), None)
        return None

    def plan(self, options: ZookeeperOptions, program: str, secret: str) -> Plan:
        settings.check(self, [name.partition(".")[0] for name in options.settings], OURS)
        settings.check_names(self, options.settings)
        places = {"dataDir": "{data|cwd}", "clientPort": "{port}", "clientPortAddress": "{host}"}
        lines = {**SETTINGS, **options.settings, **places}
        lines[COMMANDS] = f"srvr,{lines[COMMANDS]}"  # the command that the probe sends
        serves = {"kind": "exchange", "send": "srvr", "expect": r"^Zookeeper version: (?P<version>[\d.]+).*\nMode: "}
        return Plan(
            service=self.name,
            command=[
                *(self._java(), "-cp", ":".join(_jars(program)), *JAVA_OPTIONS),
                *("org.apache.zookeeper.server.ZooKeeperServerMain", "{dir|cwd}/zoo.cfg"),
            ],
            environment=environment(),
            files={
                "zoo.cfg": "".join(
                    f"{name}={quoted(settings.text(value), 'properties')}\n" for name, value in lines.items()
                ),
                "logback.xml": LOGGING,
            },
            ready=serves,
            ping=serves,
            snapshot=SnapshotSupport(int(signal.SIGTERM), [ENDED_BY_SIGTERM]),
            paths=PathLimits(refused_without_cwd()),  # Java decodes the bytes of paths with its own encoding
        )

    def kept_plan(self, options: ZookeeperOptions, program: str, secret: str, data: Path | None) -> Plan:
        plan = self.plan(options, program, secret)
        return plan._replace(command=[argument for argument in plan.command if argument != UNSYNCED])

    def details(self, options: ZookeeperOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"version": facts.get("version")}

    def isolation(self, details: "ZookeeperDetails", data: str = "") -> Isolation["ZookeeperDetails"]:
        return ZookeeperPaths(details)

    def shell_command(self, details: "ZookeeperDetails") -> str:
        return f"zkCli.sh -server {details.hosts}"

    def client(self, details: "ZookeeperDetails") -> Client:
        return Client(self.shell, ["-server", details.hosts], details.env())

    def _java(self) -> str:
        home = os.environ.get("JAVA_HOME")
        return f"{home}/bin/java" if home and os.access(f"{home}/bin/java", os.X_OK) else binaries.find(self.java)


def _jars(program: str) -> list[str]:
    """The jars of a tree as the project ships it, or else of Debian's package, where one jar references the others."""
    tree = Path(program).parents[1]
    for root in (tree, tree / "libexec"):
        if glob.glob(f"{glob.escape(str(root))}/lib/zookeeper-*.jar"):
            return [f"{root}/lib/*"]
    shipped = Path("/usr/share/java")
    return [f"{shipped}/{jar}.jar" for jar in ("zookeeper", "slf4j-simple") if (shipped / f"{jar}.jar").exists()]
