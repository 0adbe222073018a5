"""MongoDB, one server with access control.

Written from its documentation: https://www.mongodb.com/docs/manual/reference/program/mongod/ and
https://www.mongodb.com/docs/manual/reference/parameters/. Tested against a stand-in only.
"""

import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services import binaries, settings
from servicectx.services.base import Client, Service, environment
from servicectx.services.mongodb.wire import Connection, Refused
from servicectx.services.plan import Plan

if TYPE_CHECKING:
    from servicectx.services.mongodb.details import MongodbDetails

WIRE = "servicectx.services.mongodb.wire"
USER = "root"
WAIT = 60.0  # seconds for one command
OURS = ("enablelocalhostauthbypass", "authenticationmechanisms")


@dataclass(frozen=True, kw_only=True)
class MongodbOptions:
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

    def program(self, options: MongodbOptions) -> str:
        return binaries.find(self.search)

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
            clean_signal=int(signal.SIGTERM),
            secret=secret,
            expected_size=256 * 2**20,
        )

    def details(self, options: MongodbOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        login = {"user": USER, "password": secret}
        return {**login, "dbname": options.dbname, "version": facts.get("version")}

    def open_namespace(self, details: "MongodbDetails") -> "MongodbDetails":
        """A name for a database that MongoDB makes at the first write. Databases of dead owners are dropped."""
        try:
            with closing(_connect(details)) as connection:
                ours = {"listDatabases": 1, "nameOnly": True, "filter": {"name": {"$regex": f"^{owner_names.PREFIX}_"}}}
                for found in connection.run("admin", ours)["databases"]:
                    if owner_names.owner_is_dead(found["name"]):
                        connection.run(found["name"], {"dropDatabase": 1})
        except Refused as refusal:
            raise NotIsolable(service=self.name, reason=f"the server refuses: {refusal}") from None
        return details.model_copy(update={"dbname": owner_names.new_name()})

    def close_namespace(self, namespace: "MongodbDetails") -> None:
        with closing(_connect(namespace)) as connection:
            connection.run(namespace.dbname, {"dropDatabase": 1})

    def client(self, details: "MongodbDetails") -> Client:
        """The shell would show a URL on its command line to everybody, so it reads that for itself."""
        return Client(
            self.shell, ["--nodb", "--shell", "--eval", "db = connect(process.env.MONGODB_URI)"], details.env()
        )


def _connect(details: "MongodbDetails") -> Connection:
    connection = Connection(details.host, details.port, WAIT)
    try:
        if details.user:
            connection.log_in(details.user, details.password, details.auth_source)
    except BaseException:
        connection.close()
        raise
    return connection
