"""Mounts of a Vault server."""

from typing import TYPE_CHECKING, Any

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.vault import wire as vault_wire
from servicectx.system.originals import time
from servicectx.wire import http

if TYPE_CHECKING:
    from servicectx.services.vault.details import VaultDetails  # the type parameter below

WAIT = 10.0  # seconds until a fresh mount is usable


class VaultMounts(Isolation["VaultDetails"]):
    """Mounts of a Vault server, as namespaces."""

    def create(self) -> "VaultDetails":
        """Mount key-value secrets, version 2. Mounts of dead owners are removed first."""
        known = _request(self.details, "GET", "sys/mounts")
        for name in known.data if known.status == 200 else ():
            if owner_names.owner_is_dead(name.rstrip("/")):
                _request(self.details, "DELETE", f"sys/mounts/{name}")
        mount = owner_names.new_name()
        answer = _request(self.details, "POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
        if answer.status != 204:
            raise NotIsolable(service=self.details.service, reason=f"a mount cannot be created: {_problem(answer)}")
        until = time.monotonic() + WAIT
        # Vault completes the mount after its reply.
        while (reply := _request(self.details, "GET", f"{mount}/config")).status != 200:
            if time.monotonic() > until:
                reason = f"a mount is not usable after {WAIT:g} s: {_problem(reply)}"
                raise NotIsolable(service=self.details.service, reason=reason)
            time.sleep(0.01)
        return self.details.model_copy(update={"mount": mount})

    def close(self, namespace: "VaultDetails") -> None:
        _request(namespace, "DELETE", f"sys/mounts/{namespace.mount}")


def _request(details: "VaultDetails", method: str, path: str, body: Any = None) -> http.Answer:
    tls = details.scheme == "https"
    return vault_wire.ask(details.host, details.port, details.token, method, path, body, tls=tls)


def _problem(answer: http.Answer) -> str:
    errors = answer.data.get("errors") if isinstance(answer.data, dict) else None
    return "; ".join(errors) if errors else f"status {answer.status}"
