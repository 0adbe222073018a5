"""Details from the environment: a service that runs elsewhere, named by a variable. They win, loudly."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from servicectx.errors import DetailsError
from servicectx.services.aliases import words
from servicectx.services.base import Service

if TYPE_CHECKING:
    from servicectx.details.base import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")

# The variables that users of managed-service-fixtures know, and what some of their fields are called here.
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
    """The variable that is set for this name, or for another word for the service of this name, or None."""
    ours = [*map(own_variable, words(name)), *([LEGACY[name]] if name in LEGACY else [])]
    return next((each for each in ours if each in os.environ), None)


def own_variable(name: str) -> str:
    return "SERVICECTX_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper()) + "_DETAILS"


def read(source: str, service: Service[D], name: str) -> D:
    """The details that the variable `source` gives: the path of a JSON file, or the JSON object itself.

    Raises DetailsError, which names the variable, the path and the field.
    """
    from servicectx.details.base import read_text  # pydantic: only when there is something to read

    said = os.environ[source].strip()
    if not said:
        raise DetailsError(source=source, problem="it is set but empty; unset it to have a service started")
    path = None
    if not said.startswith("{"):
        path, said = said, read_text(Path(said).expanduser(), source)
    model = service.details_model()
    if source in LEGACY.values():
        said = _renamed(said, model)
    details = model.parse(said, source=source, path=path, service=service.name, name=name, external=True)
    if details.service != service.name:
        problem = f"it tells of {details.service!r}, and {service.name!r} is wanted"
        raise DetailsError(source=source, path=path, field="service", problem=problem)
    return details.model_copy(update={"name": name, "external": True})


def _renamed(text: str, model: "type[ServiceDetails]") -> str:
    from servicectx._originals import json

    try:
        raw = json.loads(text)
    except ValueError:
        return text  # `parse` says what is wrong with it
    if isinstance(raw, dict):
        for old, new in LEGACY_FIELDS.items():
            if old in raw and new not in raw and new in model.model_fields:
                raw[new] = raw.pop(old)
    return json.dumps(raw)
