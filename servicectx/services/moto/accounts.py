"""Accounts of a moto server."""

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.moto.server import ACCOUNTS
from servicectx.wire import aws

if TYPE_CHECKING:
    from servicectx.services.moto.details import MotoDetails  # the type parameter below


class MotoAccounts(Isolation["MotoDetails"]):
    """Accounts of a moto server, as namespaces."""

    def create(self) -> "MotoDetails":
        """Create an account with a user and its key. Accounts of dead owners are removed first."""
        for account, owner in _accounts(self.details, "GET").items():
            if owner_names.owner_is_dead(owner):
                _accounts(self.details, "DELETE", account)
        account = f"{int.from_bytes(os.urandom(8)) % 10**12:012}"
        user = owner_names.new_name()
        _iam(self.details, account, Action="CreateUser", UserName=user)
        key = _iam(self.details, account, Action="CreateAccessKey", UserName=user)
        keys = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
        return self.details.model_copy(update={"account": account, **keys})

    def close(self, namespace: "MotoDetails") -> None:
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
