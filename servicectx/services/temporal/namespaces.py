"""Namespaces of a Temporal server."""

import re
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.temporal import wire
from servicectx.system.originals import time

if TYPE_CHECKING:
    from servicectx.services.temporal.details import TemporalDetails  # the type parameter below

WAIT = 20.0  # seconds for one call, and until all parts of the server accept a fresh namespace
DAY = 24 * 60 * 60


class TemporalNamespaces(Isolation["TemporalDetails"]):
    """Namespaces of a Temporal server, as namespaces."""

    def create(self) -> "TemporalDetails":
        """Create a namespace. Namespaces of dead owners are deleted first; Temporal renames a namespace on deletion."""
        name = owner_names.new_name()
        days = wire.nested(4, wire.count(1, DAY))
        try:
            known = _call(self.details, f"{wire.WORKFLOWS}ListNamespaces", wire.count(1, 1000))
            for found in re.findall(rb"sc_\w+(?![\w-])", known):
                if owner_names.owner_is_dead(found.decode()):
                    _delete(self.details, found.decode())
            _call(self.details, f"{wire.WORKFLOWS}RegisterNamespace", wire.text(1, name) + days)
        except wire.Refused as refused:
            raise NotIsolable(service=self.details.service, reason=f"the server rejects {refused}") from None
        until = time.monotonic() + WAIT
        while not _is_usable(self.details, name):
            if time.monotonic() > until:
                reason = f"namespace {name} is not usable after {WAIT:g} s"
                raise NotIsolable(service=self.details.service, reason=reason)
            time.sleep(0.01)
        return self.details.model_copy(update={"namespace": name})

    def close(self, namespace: "TemporalDetails") -> None:
        _delete(namespace, namespace.namespace)


def _call(details: "TemporalDetails", method: str, message: bytes) -> bytes:
    return wire.call(details.host, details.port, method, message, WAIT)


def _is_usable(details: "TemporalDetails", name: str) -> bool:
    try:
        _call(details, f"{wire.WORKFLOWS}ListWorkflowExecutions", wire.text(1, name))
    except wire.Refused:
        return False
    return True


def _delete(details: "TemporalDetails", name: str) -> None:
    """Delete a namespace. A missing namespace is not an error."""
    try:
        _call(details, f"{wire.OPERATOR}DeleteNamespace", wire.text(1, name))
    except wire.Refused:
        return
