"""The persistent data of `managed(..., persist=True)`: found by project and name, and checked against the request."""

import os
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import InvalidOption, KeptDataError
from servicectx.request import opened_data
from servicectx.request.key import program_state, scope_text
from servicectx.request.opened_data import Opened
from servicectx.services import version_choice
from servicectx.services.base import Service, Written
from servicectx.services.options import option_names
from servicectx.state import persistent, setup_record
from servicectx.state.persistent import PersistentRecord
from servicectx.state.setup_record import SetupRecord

Request = Any  # a `request.Request`, whose module imports this one

# Options that are a part of the data: they stay as long as the data.
SECRETS = ("password", "token", "secret_key")
FIXED = ("user", "dbname", "vhost", "access_key", "locale", "flavour", "server", *SECRETS)

ONE_RUN = re.compile(r"run-[0-9a-f]+")  # the scope of one run of `servicectx run`, or of pytest


class Persistent(NamedTuple):
    """The container of the data. `record`: None where there is no complete data yet."""

    path: Path
    record: PersistentRecord | None


def refuse_others(service: str, **arguments: Any) -> None:
    """Raise InvalidOption for an argument that contradicts `persist`."""
    reasons = {
        "data": "it names other data",
        "snapshot": "persistent data is not made a second time",
        "storage": "SERVICECTX_DATA is the place of persistent data",
    }
    for name, value in arguments.items():
        if value is not None and value is not False:
            problem = f"it cannot be combined with persist: {reasons[name]}; remove one of the two"
            raise InvalidOption(service=service, option=name, problem=problem)


def scope(service: str, given: str) -> str:
    """The scope of persistent data: data for one run alone would never be found again."""
    if given == "private":
        problem = 'persist is for data that a later run finds again, and a "private" instance has no second user'
        raise InvalidOption(service=service, option="scope", problem=f'{problem}; use "project" or "user"')
    return "project" if ONE_RUN.fullmatch(given) else given


def located(request: Request) -> Request:
    """The request with the data as it is on disk now. Raises KeptDataError: it contradicts the request."""
    path = persistent.place(scope_text(request.scope), request.name)
    record = persistent.read(path)
    if record is None:
        return request._replace(opened=None, persistent=Persistent(path, None))
    opened = opened_data.open_record(path)._replace(path=path)
    kept = opened.record
    if (record.scope, record.name) != (scope_text(request.scope), request.name):
        raise opened.refuse(f"it is the persistent data of {record.name!r} in {record.scope}", "move it away")
    if kept.service != request.service.name:
        raise _conflict(request, opened, f"is of {kept.service}", request.service.name)
    options = request.options
    if kept.options is not None:
        options = _options(request, opened, kept.options)
    return request._replace(opened=opened, options=options, persistent=Persistent(path, record))


def _options(request: Request, opened: Opened, created: dict[str, Any]) -> Any:
    """The requested options, completed by those that the data was made with."""
    service, given = request.service, request.given
    usual = service.Options()
    fixed = [name for name in FIXED if name in option_names(service.Options)]
    for name in fixed:
        had, wanted = created.get(name, getattr(usual, name)), getattr(request.options, name)
        if name in given and (had or None) != (wanted or None):
            secret = name in SECRETS
            shown = [f"another {name}" if secret else f"{name}={value!r}" for value in (had, wanted)]
            raise _conflict(request, opened, f"was made with {shown[0]}", f"{name}=..." if secret else shown[1], name)
    return service.options({**{name: created[name] for name in fixed if name in created}, **given})


def program(request: Request) -> str:
    """The program for the data: the one that wrote it if that fits the options, else one that can read the data.

    Raises KeptDataError, which names both versions, or BinaryNotFound.
    """
    service: Service[Any] = request.service
    opened: Opened = request.opened
    options = request.options
    if not version_choice.wishes(options):
        return opened_data.program(service, options, opened)
    record = opened.record
    search = getattr(service, "search", None)
    unchanged = program_state(record.program) == record.program_state and os.access(record.program, os.X_OK)
    if unchanged and (search is None or version_choice.misfit(service, search, options, record.program) is None):
        return record.program
    found = service.program(options)
    written, mine = (
        Written(record.program, record.server_version),
        Written(found, version_choice.version_of(service, found)),
    )
    if not service.reads(written, mine):
        had = f"was written by {_label(written)}"
        raise _conflict(request, opened, had, f"{' and '.join(version_choice.wishes(options))}: {_label(mine)}")
    return found


def check_setup(request: Request, setup: SetupRecord | None) -> None:
    """Raise KeptDataError where the data was made by another set-up than `setup`, which never runs on old data."""
    if request.persistent is None or request.persistent.record is None or setup is None:
        return
    record = request.persistent.record
    had = setup_record.decode(record.setup)
    if record.accepts_setup or (had is not None and had.hash == setup.hash):
        return
    made = f"made by the set-up {had.text}" if had is not None else "made without a set-up"
    name = shlex.quote(request.name)
    problem = f"the set-up is now {setup.label}, and the data was {made}; a set-up does not run on existing data"
    cure = (
        f"bring the data up to date, then run: servicectx persist accept {name}\n"
        f"or remove the data, and let the set-up make it anew: servicectx persist remove {name}"
    )
    raise KeptDataError(path=str(request.persistent.path), problem=problem, cure=cure)


def preferred_ports(request: Request) -> dict[str, int]:
    """The ports of the last run on the data, by name; "" for the port of the service itself."""
    record = request.persistent.record if request.persistent is not None else None
    return record.ports if record is not None else {}


def _conflict(request: Request, opened: Opened, had: str, wanted: str, option: str | None = None) -> KeptDataError:
    name = shlex.quote(request.name)
    keep = f"omit {option}" if option else "request what the data has"
    cure = (
        f"{keep}, or use another name=\n"
        f"to make it anew, save what you need (servicectx open {shlex.quote(str(opened.path))} -- COMMAND), "
        f"then run: servicectx persist remove {name}"
    )
    return opened.refuse(f"the persistent data of {request.name!r} {had}, and {wanted} is requested", cure)


def _label(server: Written) -> str:
    return f"{os.path.basename(server.program)} {server.version or 'of unknown version'}"
