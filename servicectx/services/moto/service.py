"""moto: S3, SQS, DynamoDB and much else of AWS, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import aws_options, binaries, probe_requests, python_servers, reasons, settings
from servicectx.services.base import Service, environment
from servicectx.services.login import RANDOM, Password
from servicectx.services.moto.accounts import MotoAccounts
from servicectx.services.moto.server import ACCOUNTS
from servicectx.services.plan import Plan, Ports
from servicectx.services.s3 import buckets
from servicectx.wire import aws

if TYPE_CHECKING:
    from servicectx.services.moto.details import MotoDetails  # the type parameter below

OURS = ("moto_account_id", "moto_port", "moto_lambda_data_dir")


@dataclass(frozen=True, kw_only=True)
class MotoOptions:
    """`access_key`, `secret_key`: the keys in the details; moto accepts every key. `region`: the region in the details.
    `buckets`: buckets to create in the default account. `settings`: environment variables of moto, such as
    `{"MOTO_S3_DEFAULT_MAX_KEYS": 10}`.
    """

    access_key: str = RANDOM
    secret_key: Password = RANDOM
    buckets: Sequence[str] = ()
    region: str = "us-east-1"
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Moto(Service["MotoDetails"]):
    """A server in memory. It accepts every key, so a key only selects an account. Killed at the end."""

    name: ClassVar[str] = "moto"
    probe_request: ClassVar[str | None] = probe_requests.HTTP
    Options: ClassVar[type] = MotoOptions
    Details: ClassVar[Any] = "servicectx.services.moto.details:MotoDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "password=None": aws_options.NO_ANONYMOUS,
        "socket": reasons.CLIENTS_USE_PORTS,
        "version": reasons.THIS_PACKAGE,
        "flavour": reasons.ONE_SERVER,
    }
    volatile: ClassVar[str] = "all accounts are in memory; use s3 for buckets that stay, or omit keep_data"
    namespace: ClassVar[str] = "an account"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[moto]'",
        "apt": "apt-get install pipx && pipx install 'moto[server]'  # SERVICECTX_MOTO_BIN: bin in its environment",
        "brew": "brew install pipx && pipx install 'moto[server]'  # SERVICECTX_MOTO_BIN: bin in its environment",
    }
    requirements: ClassVar[tuple[str, ...]] = ("boto3>=1.40", "moto[server]>=5.2")
    search = binaries.Search(service="moto", programs=("moto_server",), install=tuple(install.items()))

    def program(self, options: MotoOptions) -> str:
        return python_servers.find(self.search, ("moto",))

    def version(self, program: str) -> str | None:
        return python_servers.version(program, ("moto",))

    def plan(self, options: MotoOptions, program: str, secret: str) -> Plan:
        aws_options.keys(self, options, secret)
        aws_options.check_buckets(self, options.buckets)
        settings.check(self, options.settings, OURS)
        variables = {name: str(value) for name, value in options.settings.items()}
        return Plan(
            service=self.name,
            command=python_servers.command(program),
            environment=environment(**variables, MOTO_LAMBDA_DATA_DIR="{dir}"),
            files=python_servers.files(program, "servicectx.services.moto.server:serve"),
            ready={
                "kind": "exchange",
                "send": f"GET {ACCOUNTS} HTTP/1.0\r\n\r\n",
                "expect": r"^HTTP/1.\d 200 .*moto-version: (?P<version>\S+)\r\n",
            },
            ports=Ports(inherits_socket=True, owned=False),  # the keeper already holds it
        )

    def details(self, options: MotoOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        fields = {"region": options.region, "version": facts.get("version")}
        return {**aws_options.keys(self, options, secret), **fields}

    def check(self, options: MotoOptions, details: "MotoDetails") -> bool:
        """Create the buckets."""
        return all(buckets.is_there(aws.Endpoint.of(details), name) for name in options.buckets)

    def isolation(self, details: "MotoDetails", data: str = "") -> Isolation["MotoDetails"]:
        return MotoAccounts(details)
