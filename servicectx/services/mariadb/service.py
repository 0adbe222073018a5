"""MariaDB: the server starts on a copy of a prepared data directory and creates the instance's user and database."""

import os
import re
import shlex
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login, login_checks, reasons, scripts, settings, templates
from servicectx.services.base import Client, Service, VersionOptions, Written, account_for_root, environment
from servicectx.services.mariadb.databases import MariadbDatabases
from servicectx.services.mariadb.wire import hashed, quoted
from servicectx.services.plan import PathLimits, Plan, Ports, SnapshotSupport, Template, literal
from servicectx.services.plan import quoted as quoted_for

if TYPE_CHECKING:
    from servicectx.services.mariadb.details import MariadbDetails

BASH = "/bin/bash"
WIRE = "servicectx.services.mariadb.wire"
OURS = (
    *("port", "bind-address", "socket", "datadir", "pid-file", "tmpdir", "init-file", "user", "basedir"),
    *("skip-networking", "skip-name-resolve", "extra-port", "log-error", "skip-grant-tables"),
    "require-secure-transport",  # the server has no certificate
)
PREFIXES = re.compile("(loose|enable|disable|skip|maximum)-")  # the server accepts them before the name of any option

# Temporary data: it does not need to survive a crash. Settings with "loose" do not exist in every version.
SETTINGS: dict[str, str | int | float | bool] = {
    "innodb-flush-log-at-trx-commit": 0,
    "loose-innodb-flush-method": "nosync",
    "loose-innodb-doublewrite": False,
    "loose-innodb-use-native-aio": False,  # a resource that all servers of a machine share
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "16M",
    "innodb-buffer-pool-dump-at-shutdown": False,
    "performance-schema": False,
    "loose-unix-socket": False,  # its plugin accepts any system user with the right name
    "loose-feedback": False,  # it would send reports to MariaDB's developers
    "log-warnings": 1,  # no warnings about aborted connections
    "max-connections": 200,
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
}

DURABLE: dict[str, str | int | float | bool] = {
    "innodb-flush-log-at-trx-commit": 1,
    "loose-innodb-flush-method": "fsync",
    "loose-innodb-doublewrite": True,
}
LONGEST_NAME = 64  # of a database


@dataclass(frozen=True, kw_only=True)
class MariadbOptions(VersionOptions):
    """`dbname` and `user` are created, the user with all rights. `settings`: lines of my.cnf for the server.

    `password`: of the user; a random one by default. None or False: an empty password. `socket`: clients use a Unix
    socket.
    """

    dbname: str = "test"
    user: str = "root"
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    password: login.Password = login.RANDOM
    socket: bool = False


class Mariadb(Service["MariadbDetails"]):
    """Durability is off and the password is random. The accounts of the installation cannot log in."""

    name: ClassVar[str] = "mariadb"
    probe_request: ClassVar[str | None] = ""  # the server sends first
    namespace: ClassVar[str | None] = "a database, empty"
    Options: ClassVar[type] = MariadbOptions
    Details: ClassVar[Any] = "servicectx.services.mariadb.details:MariadbDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "flavour": reasons.ONE_SERVER,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; a package of the system brings it",
        "apt": "apt-get install mariadb-server",
        "brew": "brew install mariadb",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/mariadb:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("pymysql>=1.2", "asyncmy>=0.2.11")
    search = binaries.Search(
        service="mariadb",
        programs=("mariadbd", "mysqld"),
        trees=("/opt/homebrew/opt/mariadb@*/bin", "/usr/local/opt/mariadb@*/bin", "/usr/libexec"),
        formulas=("mariadb",),
        install=tuple(install.items()),
    )

    shell = search._replace(
        service="mariadb_cli",
        programs=("mariadb", "mysql"),
        install=(("apt", "apt-get install mariadb-client"), ("brew", "brew install mariadb")),
    )

    def refusal(self, program: str) -> str | None:
        if _installer(program):
            return None
        return f"no mariadb-install-db belongs to {program}: MySQL's own server is not supported"

    def plan(self, options: MariadbOptions, program: str, secret: str) -> Plan:
        tree = Path(program).parents[1]
        given = [name for setting in options.settings for name in _names(setting)]
        # The server accepts abbreviated names.
        settings.check(self, [ours for name in given for ours in OURS if name and ours.startswith(name)], OURS)
        settings.check_names(self, options.settings)
        password = login.chosen(options.password, secret) or ""
        login_checks.check_text(self, "user", options.user)
        login_checks.check_text(self, "dbname", options.dbname, longest=LONGEST_NAME)
        if isinstance(options.password, str):
            login_checks.check_text(self, "password", password)
        if not password.isascii():
            problem = "it is not ASCII, and clients encode other letters differently"
            raise login_checks.refused(self, "password", problem)
        fixed: dict[str, str | bool] = {
            "datadir": "{data}",
            "tmpdir": "..",  # relative to the data directory: paths are split at colons
            "bind-address": "{host}",
            "port": "{port}",
            "socket": "{socket_dir}/mariadb.sock"
            if options.socket
            else "mariadb.sock",  # relative to the data directory
            "pid-file": "mariadb.pid",
            "skip-name-resolve": True,
            "init-file": "{dir}/init.sql",
        }
        pairs = [*SETTINGS.items(), *options.settings.items(), *fixed.items()]  # the last value of a name counts
        lines = ["[mariadbd]", *(f"{name} = {_value(value)}" for name, value in pairs)]
        account = {"user": literal(options.user), "password": literal(password)}
        database = {"data": "{data}", "dbname": literal(options.dbname)}
        return Plan(
            service=self.name,
            command=[program, "--defaults-file={dir}/my.cnf", f"--basedir={tree}"],
            environment=environment(),
            files={"my.cnf": "\n".join(lines) + "\n", "init.sql": literal(_accounts(options, password))},
            template=_template(program),
            ready={"kind": "call", "target": f"{WIRE}:logs_in", **database, **account},
            ping={"kind": "call", "target": f"{WIRE}:answers", **account},
            account=account_for_root("mysql") if os.geteuid() == 0 else None,  # the user id needs no name
            program_tree=str(tree),
            snapshot=SnapshotSupport(
                int(signal.SIGTERM), before_kill={"kind": "call", "target": f"{WIRE}:write_out", **account}
            ),
            ports=Ports(probe_authenticates=True),
            expected_size=64 * 2**20,
            paths=PathLimits(longest=400),  # its FN_REFLEN is 512
        )

    def kept_plan(self, options: MariadbOptions, program: str, secret: str, data: Path | None) -> Plan:
        return self.plan(replace(options, settings={**DURABLE, **options.settings}), program, secret)

    def reads(self, written: Written, mine: Written) -> bool:
        """As for every service. The same program may have two names."""
        return super().reads(written._replace(program=mine.program), mine)

    def details(self, options: MariadbOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {
            "user": options.user,
            "password": login.chosen(options.password, secret) or "",
            "dbname": options.dbname,
            "socket": f"{facts['socket_dir']}/mariadb.sock" if options.socket else "",
            "version": facts.get("version"),
        }

    def isolation(self, details: "MariadbDetails", data: str = "") -> Isolation["MariadbDetails"]:
        return MariadbDatabases(details)

    def client(self, details: "MariadbDetails") -> Client:
        return Client(self.shell, _client_arguments(details), details.env())

    def shell_command(self, details: "MariadbDetails") -> str:
        return f"MYSQL_PWD={shlex.quote(details.password)} {shlex.join(['mariadb', *_client_arguments(details)])}"

    def run_files(self, details: "MariadbDetails", files: list[Path], program: str) -> None:
        """Run each file with the client, which stops at the first error."""
        for file in files:
            try:
                scripts.run([binaries.find(self.shell), *_client_arguments(details)], details.env(), file)
            except RuntimeError as error:
                raise RuntimeError(f"{file}: {error}") from None


def _client_arguments(details: "MariadbDetails") -> list[str]:
    """The client's arguments. The password is in its environment, which the user's option files would override."""
    server = ["--protocol=tcp", f"--host={details.host}", f"--port={details.port}"]
    if details.socket:
        server = ["--protocol=socket", f"--socket={details.socket}"]
    user = f"--user={details.user}"
    return ["--no-defaults", *server, "--default-character-set=utf8mb4", user, details.dbname]


def _accounts(options: MariadbOptions, password: str) -> str:
    """The statements that the server runs before it accepts connections. It ignores a statement that shares a line.

    Clients of the socket come from `localhost`, where an account of the installation would precede that of any host.
    """
    statements = [f"CREATE DATABASE IF NOT EXISTS {quoted(options.dbname)}"]
    for host in ("%", "localhost") if options.socket else ("%",):
        account = f"{quoted(options.user)}@'{host}'"
        statements += [
            f"CREATE USER IF NOT EXISTS {account}",
            f"ALTER USER {account} IDENTIFIED VIA mysql_native_password USING '{hashed(password)}'",
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION",
        ]
    return "".join(f"{statement};\n" for statement in statements)


def _template(program: str) -> Template:
    options = {
        "loose-innodb-flush-method": "nosync",
        "innodb-log-file-size": "4M",
        "loose-innodb-undo-tablespaces": "0",
    }
    # The installer is a script that needs bash: other shells interpret backslashes in its arguments.
    shell = [BASH] if os.access(BASH, os.X_OK) else []
    command = [
        *(*shell, str(_installer(program)), "--no-defaults", f"--basedir={Path(program).parents[1]}"),
        *("--datadir={data}", "--tmpdir=.."),
        *("--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"),
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    return Template(key=templates.key("mariadb", program, command), command=command, files={})


def _names(setting: str) -> Iterator[str]:
    """The names that the server may read in the name of a setting: with and without each of its prefixes."""
    name = setting.lower().replace("_", "-")
    yield name
    while found := PREFIXES.match(name):
        name = name[found.end() :]
        yield name


def _installer(program: str) -> str | None:
    """The program that prepares a data directory, from the server's tree."""
    for folder in ("bin", "sbin", "scripts"):
        path = Path(program).parents[1] / folder / "mariadb-install-db"
        if os.access(path, os.X_OK):
            return str(path)
    return None


def _value(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return f'"{quoted_for(str(value), "mycnf")}"'
