"""moto: S3, SQS, DynamoDB and much else of AWS, in memory."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services import binaries, python_servers, settings
from servicectx.services.base import Service, environment
from servicectx.services.moto.server import ACCOUNTS
from servicectx.services.plan import Plan
from servicectx.wire import aws

if TYPE_CHECKING:
    from servicectx.services.moto.details import MotoDetails  # the type parameter below

OURS = ("moto_account_id", "moto_port", "moto_lambda_data_dir")


@dataclass(frozen=True, kw_only=True)
class MotoOptions:
    """`region`: the region in the details. `settings`: environment variables of moto, such as
    `{"MOTO_S3_DEFAULT_MAX_KEYS": 10}`.
    """

    region: str = "us-east-1"
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Moto(Service["MotoDetails"]):
    """A server in memory. It accepts every key, so a key only selects an account. Killed at the end."""

    name: ClassVar[str] = "moto"
    Options: ClassVar[type] = MotoOptions
    Details: ClassVar[Any] = "servicectx.services.moto.details:MotoDetails"
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
            inherits_socket=True,
            owns_port=False,  # the keeper already holds it
        )

    def details(self, options: MotoOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        fields = {"region": options.region, "version": facts.get("version")}
        return {"access_key": aws.access_key(secret), "secret_key": secret, **fields}

    def open_namespace(self, details: "MotoDetails") -> "MotoDetails":
        """Create an account with a user and its key. Accounts of dead owners are removed first."""
        for account, owner in _accounts(details, "GET").items():
            if owner_names.owner_is_dead(owner):
                _accounts(details, "DELETE", account)
        account = f"{int.from_bytes(os.urandom(8)) % 10**12:012}"
        user = owner_names.new_name()
        _iam(details, account, Action="CreateUser", UserName=user)
        key = _iam(details, account, Action="CreateAccessKey", UserName=user)
        keys = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
        return details.model_copy(update={"account": account, **keys})

    def close_namespace(self, namespace: "MotoDetails") -> None:
        _accounts(namespace, "DELETE", namespace.account)


def _iam(details: "MotoDetails", account: str, **parameters: str) -> dict[str, str]:
    """A request to IAM. moto creates the account on its first use."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "x-moto-account-id": account}
    body = urlencode({"Version": "2010-05-08", **parameters})
    answer = aws.Endpoint.of(details).ask("iam", "POST", "/", body, headers=headers)
    if answer.status != 200:
        raise NotIsolable(service="moto", reason=f"{parameters['Action']}: {answer.status} {answer.text.strip()}")
    return dict(re.findall(r"<(\w+)>([^<]+)</\1>", answer.text))


def _accounts(details: "MotoDetails", method: str, account: str = "") -> dict[str, str]:
    """List or remove accounts. Other moto servers lack this path, and give {}."""
    return aws.Endpoint.of(details).ask("moto-api", method, ACCOUNTS + account).data or {}
