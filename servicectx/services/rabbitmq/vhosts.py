"""Virtual hosts of a RabbitMQ server, by its management API."""

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.wire import http

if TYPE_CHECKING:
    from servicectx.services.rabbitmq.details import RabbitmqDetails  # the type parameter below

KEPT = "kept"  # the description of a vhost that outlives its owner


class RabbitmqVhosts(Isolation["RabbitmqDetails"]):
    """Virtual hosts of a RabbitMQ server, by its management API, as namespaces."""

    def create(self) -> "RabbitmqDetails":
        for vhost in _request(self.details, "GET", "vhosts?columns=name,description"):
            if owner_names.owner_is_dead(vhost["name"]) and vhost.get("description") != KEPT:
                _request(self.details, "DELETE", f"vhosts/{vhost['name']}")
        name = owner_names.new_name()
        _request(self.details, "PUT", f"vhosts/{name}", {})
        everything = dict.fromkeys(("configure", "write", "read"), ".*")
        _request(self.details, "PUT", f"permissions/{name}/{quote(self.details.user, safe='')}", everything)
        return self.details.model_copy(update={"vhost": name})

    def close(self, namespace: "RabbitmqDetails") -> None:
        _request(namespace, "DELETE", f"vhosts/{namespace.vhost}")

    def keep(self, namespace: "RabbitmqDetails") -> None:
        _request(namespace, "PUT", f"vhosts/{namespace.vhost}", {"description": KEPT})


def _request(details: "RabbitmqDetails", method: str, path: str, body: Any = None) -> Any:
    """A request to the management API. Deleting a missing object is not an error."""
    if details.management_port is None:
        raise NotIsolable(service="rabbitmq", reason="the management API creates vhosts: give its management_port")
    login = base64.b64encode(f"{details.user}:{details.password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    answer = http.ask(details.host, details.management_port, method, f"/api/{path}", body, headers, wait=30.0)
    if answer.status >= 400 and (method, answer.status) != ("DELETE", 404):
        raise NotIsolable(service="rabbitmq", reason=f"{method} {path}: {answer.status} {answer.text.strip()}")
    return answer.data
