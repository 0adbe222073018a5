"""The kept data that `managed(..., data=PATH)` opens: its record, a program that can read it, and its account."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import BinaryNotFound, InvalidOption, KeptDataError
from servicectx.request.key import program_state
from servicectx.services import binaries, version_choice
from servicectx.services.base import Plan, Service, Written
from servicectx.services.login import RANDOM
from servicectx.state import keep_record, paths, persistent
from servicectx.state.keep_record import KeepRecord


class Opened(NamedTuple):
    """Kept data to run on: the resolved path that a user named, and its record."""

    path: Path
    record: KeepRecord

    @property
    def data(self) -> Path:
        return keep_record.data_path(self.path)

    def refuse(self, problem: str, cure: str) -> KeptDataError:
        return KeptDataError(path=str(self.path), problem=problem, cure=cure)


def find(service: Service[Any], path: Any) -> Opened:
    """The data of `data=path`. Raises KeptDataError: not kept data, not this user's, or not of this service."""
    opened = open_record(path)
    if opened.record.service != service.name:
        problem = f"this is data of {opened.record.service}, not of {service.name}"
        raise opened.refuse(problem, f"servicectx open {shlex.quote(str(opened.path))}")
    return opened


def open_record(path: Any) -> Opened:
    """Open kept data of any service, with the program that wrote it last. Raises KeptDataError."""
    real = Path(os.path.realpath(os.path.expanduser(os.fspath(path))))
    record = keep_record.read(real)
    if (last := persistent.read(real)) is not None:
        record = record._replace(
            program=last.program, program_state=last.program_state, server_version=last.server_version
        )
    return Opened(real, record)


def options(service: Service[Any], opened: Opened, given: dict[str, Any]) -> Any:
    """The options that the data was created with, overridden by `given`."""
    if opened.record.options is None and not given:
        cure = f"open it from Python with the same options: managed({service.name!r}, data={str(opened.path)!r}, ...)"
        raise opened.refuse("it was created with options that could not be stored", cure)
    created = opened.record.options or {}
    if "password" in given and given["password"] != created.get("password", RANDOM):
        problem = "the data keep the password that they were created with; omit it"
        raise InvalidOption(service=service.name, option="password", problem=problem)
    return service.options({**created, **given})


def refuse_others(service: str, **arguments: Any) -> None:
    """Raise InvalidOption for an argument that only applies to fresh data."""
    for name, value in arguments.items():
        if value is not None and value is not False:
            problem = "it applies to fresh data, and data= names existing data; remove one of the two"
            raise InvalidOption(service=service, option=name, problem=problem)


def program(service: Service[Any], options: Any, opened: Opened) -> str:
    """The program that wrote the data if it still exists, else the first program found that can read the data.

    Raises KeptDataError, which names both versions, or BinaryNotFound without any program.
    """
    record = opened.record
    written = Written(record.program, record.server_version)
    rejected = []
    try:
        for path in _candidates(service, options, record.program):
            if path == record.program and program_state(path) == record.program_state:
                return path
            version = service.version(path)
            if service.reads(written, Written(path, version)):
                return path
            rejected.append(f"{os.path.basename(path)} {version or 'of unknown version'} ({path})")
    except BinaryNotFound as missing:
        if missing.problem is None or rejected:
            raise
        rejected.append(missing.problem)
    install = [f"{tool}: {command}" for tool, command in service.install.items() if not command.startswith("not ")]
    writer = f"{os.path.basename(record.program)} {record.server_version or ''}".strip()
    variable = binaries.variables(service.name)[0]
    cure = f"install {writer} ({'; '.join(install) or 'from its makers'}), or set {variable} to its path"
    raise opened.refuse(f"{writer} wrote this data, and none of these can read it: {', '.join(rejected)}", cure)


def _candidates(service: Service[Any], options: Any, before: str) -> Iterator[str]:
    overridden = any(os.environ.get(name) for name in binaries.variables(service.name))
    if not overridden and os.access(before, os.X_OK):
        yield before
    found = service.program(options)
    if overridden or found != before:
        yield found
    for server in [] if overridden else version_choice.servers(service):
        if server.refusal is None and server.path not in (before, found):
            yield server.path


def as_owner(plan: Plan, opened: Opened) -> Plan:
    """The plan for the account that owns the data. Raises KeptDataError where that account cannot reach the data."""
    import pwd

    try:
        owner = opened.data.stat().st_uid
    except OSError as error:
        cure = f"ls -ld {shlex.quote(str(opened.path))}"
        raise opened.refuse(f"the data cannot be reached: {error.strerror}", cure) from None
    if owner == os.geteuid():
        return plan._replace(account=None) if owner else plan
    try:
        account = pwd.getpwuid(owner).pw_name
    except KeyError:
        problem = f"the data belongs to user id {owner}, which has no account on this machine"
        raise opened.refuse(problem, f"chown -R the data to an account, such as {plan.account or 'yours'}") from None
    if os.geteuid() != 0:
        cure = f"open it as {account}: sudo -u {account} servicectx open {shlex.quote(str(opened.path))}"
        raise opened.refuse(f"the data belongs to {account}, not to you", cure)
    parent = opened.path.parent  # the keeper opens the directory itself for the account
    if not paths.passable(parent):
        closed = next(path for path in [parent, *parent.parents][::-1] if not paths.passable(path))
        problem = f"the server runs as {account}, and this account cannot pass {closed}"
        raise opened.refuse(problem, f"chmod o+x {shlex.quote(str(closed))}, or move the data elsewhere")
    return plan._replace(account=account)
