"""Details of external services from environment variables. They take precedence, and every mistake is an error."""

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from servicectx.errors import DetailsError
from servicectx.request import durations
from servicectx.services import registry, version_choice
from servicectx.services.aliases import words
from servicectx.services.base import Service
from servicectx.system.originals import json

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")

WAIT = 1.5  # seconds for an external server to accept a connection

# The variables of managed-service-fixtures, and the names of some of their fields in this library.
LEGACY = {
    "redis": "TEST_REDIS_DETAILS",
    "cockroach": "TEST_CRDB_DETAILS",
    "vault": "TEST_VAULT_DETAILS",
    "moto": "TEST_MOTO_DETAILS",
    "asgi": "TEST_APP_DETAILS",
    "wsgi": "TEST_APP_DETAILS",
}
LEGACY_FIELDS = {"hostname": "host", "sql_port": "port", "username": "user"}


def variable(name: str) -> str | None:
    """The variable that is set for this name, or for an alias of the service of this name, or None."""
    return next((variable for variable in _variables(name) if variable in os.environ), None)


@functools.cache
def _variables(name: str) -> tuple[str, ...]:
    return (*map(own_variable, words(name)), *([LEGACY[name]] if name in LEGACY else []))


def own_variable(name: str) -> str:
    return "SERVICECTX_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper()) + "_DETAILS"


def read(source: str, service: Service[D], name: str) -> D:
    """The details in the variable `source`: a JSON object, a URL, or the path of a JSON file.

    Raises DetailsError, which names the variable, the path and the field, and shows no value.
    """
    from servicectx.services import urls  # imports pydantic, so only when a variable is set

    value = os.environ[source].strip()
    if not value:
        raise DetailsError(source=source, problem="it is set but empty; unset it to have a service started")
    model = service.details_model()
    given = {"service": service.name, "name": name, "external": True}
    if urls.is_url(value) and not os.path.exists(value):
        return model.from_url(value, source=source, **given)
    path = None
    if not value.startswith("{"):
        path, value = value, _text_of(value, source)
    if source in LEGACY.values():
        value = _renamed(value, model)
    details = model.parse(value, source=source, path=path, **given)
    if details.service != service.name:
        described = repr(details.service) if details.service in registry.names() else "another service"
        problem = f"it describes {described}, not {service.name!r}"
        raise DetailsError(source=source, path=path, field="service", problem=problem)
    return details.model_copy(update={"name": name, "external": True})


def check_version(details: "ServiceDetails", source: str, options: Any) -> None:
    """Raise DetailsError where the details give a version that the options do not ask for."""
    wanted, version = version_choice.version_range(options), getattr(details, "version", None)
    if wanted is not None and version is not None and not wanted.matches(version):
        problem = f"the server has version {version}, and version {wanted.text} is asked"
        raise DetailsError(source=source, field="version", problem=problem)


def _text_of(path: str, source: str) -> str:
    """The text of the file at `path`. Raises DetailsError, which shows `path` only if it looks like a path."""
    from servicectx.services.details import read_text

    try:
        return read_text(Path(path).expanduser(), source)
    except (DetailsError, RuntimeError) as error:
        if not re.fullmatch(r"[\w ~+.-]*[./][\w ~+./-]*", path):
            problem = "it is neither the path of a details file, nor a JSON object, nor a URL"
            raise DetailsError(source=source, problem=f"{problem}; its value is not shown") from None
        problem = error.problem if isinstance(error, DetailsError) else "there is no such home directory"
        raise DetailsError(source=source, path=path, problem=problem) from None


def reach(
    details: "ServiceDetails", source: str, probe_request: str | None, cancelled: Callable[[], bool] = lambda: False
) -> bool:
    """Raise DetailsError where no server answers at the address of `details`, within 2 s.

    `probe_request`: see `Service.probe_request`.

    False: no connection was tried, because the address is that of a Unix socket, or the check is disabled.

    `SERVICECTX_EXTERNAL_WAIT` is the time to wait for a server that is about to start; 0 disables the check.
    A name that takes too long to resolve counts as no answer.
    """
    setting = os.environ.get("SERVICECTX_EXTERNAL_WAIT")
    try:
        wait = durations.seconds(setting or WAIT)
    except ValueError as error:
        raise DetailsError(source="SERVICECTX_EXTERNAL_WAIT", problem=str(error)) from None
    if not wait or details.host.startswith("/"):  # the directory of a socket, as in libpq
        return False
    from servicectx.request import reachable

    if problem := reachable.problem(
        details.host, details.port, wait, probe_request=probe_request, patient=bool(setting), cancelled=cancelled
    ):
        host = f"[{details.host}]" if ":" in details.host else details.host
        raise DetailsError(
            source=source,
            problem=f"no server answers at {host}:{details.port} ({problem}); start it, correct the address, or unset "
            f"{source} to have a service started. SERVICECTX_EXTERNAL_WAIT=30s waits for a server that is about to "
            "start; SERVICECTX_EXTERNAL_WAIT=0 does not look",
        )
    return True


def _renamed(text: str, model: "type[ServiceDetails]") -> str:
    """The JSON object with the field names of this library. A wrong text is returned unchanged: `parse` refuses it."""
    from servicectx.services.checked import Problems, json_object

    try:
        raw, twice = json_object(text)
    except Problems:
        return text
    if twice:
        return text
    for old, new in LEGACY_FIELDS.items():
        if old in raw and new not in raw and new in model.model_fields:
            raw[new] = raw.pop(old)
    return json.dumps(raw)
