"""MongoDB, one server with access control.

Written from its documentation: https://www.mongodb.com/docs/manual/reference/program/mongod/ and
https://www.mongodb.com/docs/manual/reference/parameters/. Tested against a stand-in only.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, settings
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.mongodb.databases import MongodbDatabases
from servicectx.services.plan import Plan, SnapshotSupport

if TYPE_CHECKING:
    from servicectx.services.mongodb.details import MongodbDetails

WIRE = "servicectx.services.mongodb.wire"
USER = "root"
OURS = ("enablelocalhostauthbypass", "authenticationmechanisms")


@dataclass(frozen=True, kw_only=True)
class MongodbOptions(VersionOptions):
    """`dbname`: the database in the details. `settings`: server parameters, such as `{"ttlMonitorSleepSecs": 1}`."""

    dbname: str = "test"
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class Mongodb(Service["MongodbDetails"]):
    """A user `root` with a random password; killed at the end. A snapshot holds all databases."""

    name: ClassVar[str] = "mongodb"
    Options: ClassVar[type] = MongodbOptions
    Details: ClassVar[Any] = "servicectx.services.mongodb.details:MongodbDetails"
    namespace: ClassVar[str] = "a database, empty"
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; https://www.mongodb.com/try/download/community has it",
        "apt": "apt-get install mongodb-org-server  # from repo.mongodb.org",
        "brew": "brew install mongodb/brew/mongodb-community",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/mongo:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("pymongo>=4.20",)
    search = binaries.Search(
        service="mongodb",
        programs=("mongod",),
        trees=("/opt/mongodb*/bin", "/usr/local/mongodb*/bin", "/opt/homebrew/opt/mongodb-community@*/bin"),
        formulas=("mongodb-community",),
        install=tuple(install.items()),
    )
    shell = binaries.Search(
        service="mongosh",
        programs=("mongosh",),
        formulas=("mongosh",),
        install=(("apt", "apt-get install mongodb-mongosh  # from repo.mongodb.org"), ("brew", "brew install mongosh")),
    )

    def plan(self, options: MongodbOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        parameters = {"diagnosticDataCollectionEnabled": False, **options.settings}
        command = [program, "--dbpath", "{data}", "--bind_ip", "{host}", "--port", "{port}", "--auth", "--nounixsocket"]
        for name, value in parameters.items():
            command += ["--setParameter", f"{name}={settings.text(value)}"]
        return Plan(
            service=self.name,
            command=command,
            environment=environment(),
            ready={
                "kind": "call",
                "target": f"{WIRE}:claim_server",
                "user": USER,
                "password": secret,
                "old": "{template_secret}",
            },
            ping={"kind": "call", "target": f"{WIRE}:answers"},
            snapshot=SnapshotSupport(int(signal.SIGTERM), secret=secret),
            expected_size=256 * 2**20,
        )

    def details(self, options: MongodbOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        login = {"user": USER, "password": secret}
        return {**login, "dbname": options.dbname, "version": facts.get("version")}

    def isolation(self, details: "MongodbDetails", data: str = "") -> Isolation["MongodbDetails"]:
        return MongodbDatabases(details)

    def client(self, details: "MongodbDetails") -> Client:
        """The shell would show a URL on its command line to everybody, so it reads that for itself."""
        return Client(
            self.shell, ["--nodb", "--shell", "--eval", "db = connect(process.env.MONGODB_URI)"], details.env()
        )
