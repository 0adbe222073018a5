"""The service: how servicectx runs the server, and a notebook for each namespace."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from servicectx import Isolation, NotIsolable, Plan, Service, ServiceDetails
from servicectx.isolation import owner_names
from servicectx.services import binaries
from servicectx.services.base import Search, environment
from servicectx.wire import http


class NotesDetails(ServiceDetails):
    """Connection details. `token` is a listed name for secrets, so `repr()` hides its value."""

    token: str = ""
    notebook: str = "main"
    version: str | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def env(self) -> dict[str, str]:
        return {"NOTES_URL": self.url, "NOTES_TOKEN": self.token, "NOTES_NOTEBOOK": self.notebook}


@dataclass(frozen=True, kw_only=True)
class NotesOptions:
    """`limit`: the maximum length of a note, in characters."""

    limit: int = 1000


class Notes(Service[NotesDetails]):
    """A notes server in memory, with a random token."""

    name: ClassVar[str] = "notes"
    Options: ClassVar[type] = NotesOptions
    Details: ClassVar[Any] = NotesDetails
    namespace: ClassVar[str] = "a notebook"
    search = Search(
        service="notes",
        programs=("notes-server",),
        install=(("pip", "pip install servicectx-notes"),),
    )

    def program(self, options: NotesOptions) -> str:
        return binaries.find(self.search)

    def plan(self, options: NotesOptions, program: str, secret: str) -> Plan:
        configuration = {"host": "{host}", "port": "{port}", "token": secret, "limit": options.limit}
        hello = f"GET / HTTP/1.1\r\nAuthorization: Bearer {secret}\r\n\r\n"
        answer = r'^HTTP/1.1 200 .*"version": "(?P<version>[\d.]+)"'  # another instance rejects this token
        return Plan(
            service=self.name,
            command=[program, "{dir}/notes.json"],
            environment=environment(),
            files={"notes.json": json.dumps(configuration)},
            ready={"kind": "exchange", "send": hello, "expect": answer},
            ping={"kind": "exchange", "send": hello, "expect": answer},
        )

    def details(self, options: NotesOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"token": secret, "version": facts["version"]}

    def isolation(self, details: NotesDetails, data: str = "") -> Isolation[NotesDetails]:
        return Notebooks(details)


class Notebooks(Isolation[NotesDetails]):
    """Notebooks as namespaces."""

    def create(self) -> NotesDetails:
        """Create a notebook. Notebooks of dead owners are removed first."""
        listed = ask(self.details, "GET", "/")
        if listed.status != 200:
            raise NotIsolable(service=self.details.service, reason=listed.data["problem"])
        for left in filter(owner_names.owner_is_dead, listed.data["notebooks"]):
            ask(self.details, "DELETE", f"/{left}")
        name = owner_names.new_name()
        ask(self.details, "PUT", f"/{name}")
        return self.details.model_copy(update={"notebook": name})

    def close(self, namespace: NotesDetails) -> None:
        ask(namespace, "DELETE", f"/{namespace.notebook}")


def ask(details: NotesDetails, method: str, path: str, text: str | None = None) -> http.Answer:
    """One request. It needs no client library, so users need not install one."""
    login = {"Authorization": f"Bearer {details.token}"}
    return http.ask(details.host, details.port, method, path, text, login)
