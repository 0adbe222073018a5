"""CockroachDB, one node in memory.

Written from its documentation: https://www.cockroachlabs.com/docs/stable/cockroach-start-single-node,
.../cockroach-cert, .../configure-logs and .../diagnostics-reporting. Tested against a stand-in only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import InvalidOption
from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login_checks, probe_requests, reasons, scripts, settings, templates
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.cockroach.databases import CockroachDatabases
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.options import option_names
from servicectx.services.plan import Plan, Ports, Template, literal

if TYPE_CHECKING:
    from servicectx.services.cockroach.details import CockroachDetails

USER = "root"
OURS = ("server.host_based_authentication.configuration",)
NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,62}")  # the server writes names of users in lower case
NO_ANONYMOUS = "a secure node always requires a login; an insecure one has no passwords and no users"

# A server certificate and one for root. The signing key is deleted at once.
CERTIFICATES = """mkdir -m 700 "$1"
for kind in create-ca "create-node $3 localhost" "create-client root"; do
    "$0" cert $kind --certs-dir="$1" --ca-key="$2" || exit
done
rm "$2"
"""

# Warnings go to stderr, which becomes the log of the instance; all other channels go to files.
LOG = 'file-defaults:\n  dir: "{dir|yaml}/logs"\nsinks:\n  stderr:\n    filter: WARNING\n'


@dataclass(frozen=True, kw_only=True)
class CockroachOptions(VersionOptions):
    """`user`, `password`: the login, with all rights. `dbname`: the database, created if missing. `memory`: the size
    limit of the data, at least 640 MiB.

    `settings`: cluster settings, such as `{"sql.stats.automatic_collection.enabled": False}`.
    """

    user: str = USER
    password: Password = RANDOM
    dbname: str = "defaultdb"
    memory: str = "1GiB"
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class Cockroach(Service["CockroachDetails"]):
    """A node with certificates, and a login, by default root with a random password. TLS is optional for clients.
    Killed at the end.
    """

    name: ClassVar[str] = "cockroach"
    probe_request: ClassVar[str | None] = probe_requests.POSTGRES
    Options: ClassVar[type] = CockroachOptions
    Details: ClassVar[Any] = "servicectx.services.cockroach.details:CockroachDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "password=None": NO_ANONYMOUS,
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
    namespace: ClassVar[str] = "a database, empty"
    volatile: ClassVar[str] = "its store is in memory; take a dump before the end, or omit keep_data"
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; download it from https://www.cockroachlabs.com/docs/releases",
        "apt": "not in Debian; download it from https://www.cockroachlabs.com/docs/releases",
        "brew": "brew install cockroachdb/tap/cockroach",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/cockroachdb/cockroach:v{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("psycopg[binary]>=3.2", "sqlalchemy-cockroachdb>=2.0.4")
    search = binaries.Search(
        service="cockroach",
        programs=("cockroach",),
        trees=("/cockroach", "/opt/cockroach*"),
        formulas=("cockroach",),
        install=tuple(install.items()),
    )

    def plan(self, options: CockroachOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        for name in options.settings:
            if not re.fullmatch(r"[a-z0-9_.]+", name):
                problem = f"{name!r} is not the name of a cluster setting"
                known = option_names(CockroachOptions)
                raise InvalidOption(service=self.name, option="settings", problem=problem, known=known)
        certificates = ["/bin/sh", "-c", CERTIFICATES, program, "{data}", "{dir}/ca.key", "{host}"]
        return Plan(
            service=self.name,
            command=[
                *(program, "start-single-node", "--certs-dir={data}", "--accept-sql-without-tls"),
                *("--sql-addr={host}:{port}", "--listen-addr={host}:{port_rpc}", "--http-addr={host}:{port_http}"),
                *("--unencrypted-localhost-http", f"--store=type=mem,size={options.memory}"),
                *("--listening-url-file={dir}/url", "--log-config-file={dir}/log.yaml"),
            ],
            environment=environment(COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING="true"),
            files={"log.yaml": LOG},
            template=Template(templates.key(self.name, program, certificates), certificates, {}),
            ready={
                "kind": "call",
                "target": "servicectx.services.cockroach.wire:claim_server",
                "url": "{dir}/url",
                "certificates": "{data}",
                "user": options.user,
                "password": literal(self._password(options, secret)),
                "dbname": literal(options.dbname),
                "settings": dict(options.settings),
            },
            ping={"kind": "call", "target": "servicectx.services.postgres.wire:accepts_connections"},
            ports=Ports(["rpc", "http"], probe_authenticates=True),
        )

    def kept_plan(self, options: CockroachOptions, program: str, secret: str, data: Path | None) -> None:
        """Return None: the data directory holds only certificates."""
        return None

    def details(self, options: CockroachOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {
            "user": options.user,
            "password": self._password(options, secret),
            "dbname": options.dbname,
            "http_port": facts["port_http"],
            "version": facts.get("version"),
        }

    def _password(self, options: CockroachOptions, secret: str) -> str:
        password = chosen(options.password, secret)
        if password is None and options.password != "":
            raise login_checks.refused(self, "password", NO_ANONYMOUS)
        login_checks.check_text(self, "password", password or "")
        login_checks.check_text(self, "dbname", options.dbname)
        if not NAME.fullmatch(options.user):
            raise login_checks.refused(
                self, "user", "use 1 to 63 of a-z, 0-9, _, - and ., beginning with none of - and ."
            )
        return password or ""

    def isolation(self, details: "CockroachDetails", data: str = "") -> Isolation["CockroachDetails"]:
        return CockroachDatabases(details)

    def run_files(self, details: "CockroachDetails", files: list[Path], program: str) -> None:
        for file in files:
            scripts.run([program, "sql", "--set=errexit=true", f"--file={file}"], details.env())

    def client(self, details: "CockroachDetails") -> Client:
        return Client(self.search, ["sql"], details.env())
