"""MongoDB, one server, by default with access control.

Written from its documentation: https://www.mongodb.com/docs/manual/reference/program/mongod/ and
https://www.mongodb.com/docs/manual/reference/parameters/. Tested against a stand-in only.
"""

import signal
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login_checks, reasons, settings
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.mongodb.databases import MongodbDatabases
from servicectx.services.plan import Plan, SnapshotSupport, literal

if TYPE_CHECKING:
    from servicectx.services.mongodb.details import MongodbDetails

WIRE = "servicectx.services.mongodb.wire"
USER = "root"
OURS = ("enablelocalhostauthbypass", "authenticationmechanisms", "requireapiversion")
LONGEST_NAME = 63  # bytes of a database's name


@dataclass(frozen=True, kw_only=True)
class MongodbOptions(VersionOptions):
    """`user`, `password`: the login; None means no access control. `dbname`: the database in the details. `settings`:
    server parameters, such as `{"ttlMonitorSleepSecs": 1}`.
    """

    user: str = USER
    password: Password = RANDOM
    dbname: str = "test"
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class Mongodb(Service["MongodbDetails"]):
    """One user, by default `root` with a random password; killed at the end. A snapshot holds all databases."""

    name: ClassVar[str] = "mongodb"
    Options: ClassVar[type] = MongodbOptions
    Details: ClassVar[Any] = "servicectx.services.mongodb.details:MongodbDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
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
        login_checks.check(self, options)
        login_checks.check_text(self, "dbname", options.dbname, without='/\\. "$', longest=LONGEST_NAME)
        for option in ("user", "password"):
            if (value := getattr(options, option)) and unicodedata.normalize("NFKC", value) != value:
                raise login_checks.refused(self, option, "SCRAM changes a character of it; use its plain form (NFKC)")
        password = chosen(options.password, secret)
        parameters = {"diagnosticDataCollectionEnabled": False, **options.settings}
        command = [program, "--dbpath", "{data}", "--bind_ip", "{host}", "--port", "{port}", "--nounixsocket"]
        command += ["--auth"] if password else []
        for name, value in parameters.items():
            command += ["--setParameter", f"{name}={settings.text(value)}"]
        return Plan(
            service=self.name,
            command=command,
            environment=environment(),
            ready=_claim(literal(options.user), literal(password)) if password else _call("is_open"),
            ping=_call("answers"),
            snapshot=SnapshotSupport(int(signal.SIGTERM), secret=password or ""),
            expected_size=256 * 2**20,
        )

    def details(self, options: MongodbOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        password = chosen(options.password, secret)
        login = {"user": options.user, "password": password} if password else {}
        return {**login, "dbname": options.dbname, "version": facts.get("version")}

    def isolation(self, details: "MongodbDetails", data: str = "") -> Isolation["MongodbDetails"]:
        return MongodbDatabases(details)

    def client(self, details: "MongodbDetails") -> Client:
        """The shell would show a URL on its command line to everybody, so it reads that for itself."""
        return Client(
            self.shell, ["--nodb", "--shell", "--eval", "db = connect(process.env.MONGODB_URI)"], details.env()
        )


def _call(function: str, **arguments: str) -> dict[str, Any]:
    return {"kind": "call", "target": f"{WIRE}:{function}", **arguments}


def _claim(user: str, password: str) -> dict[str, Any]:
    return _call("claim_server", user=user, password=password, old="{template_secret}")
