"""Kept data that `managed(..., data=PATH)` opens: their record, the program that can read them, and the account."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import BinaryNotFound, InvalidOption, KeptDataError
from servicectx.request.key import program_state
from servicectx.services import binaries
from servicectx.services.base import Plan, Service, Written
from servicectx.state import keep_record, paths
from servicectx.state.keep_record import KeepRecord


class Opened(NamedTuple):
    """Data to run on: the directory that a user named, without links, and its record."""

    path: Path
    record: KeepRecord

    @property
    def data(self) -> Path:
        return keep_record.data_path(self.path)

    def refuse(self, problem: str, cure: str) -> KeptDataError:
        return KeptDataError(path=str(self.path), problem=problem, cure=cure)


def find(service: Service[Any], path: Any) -> Opened:
    """What `data=path` means. Raises KeptDataError: not kept data, not this user's, or not of this service."""
    opened = open_record(path)
    if opened.record.service != service.name:
        problem = f"these are data of {opened.record.service}, and {service.name} was asked for"
        raise opened.refuse(problem, f"servicectx open {shlex.quote(str(opened.path))}")
    return opened


def open_record(path: Any) -> Opened:
    """Kept data of any service. Raises KeptDataError."""
    real = Path(os.path.realpath(os.path.expanduser(os.fspath(path))))
    return Opened(real, keep_record.read(real))


def options(service: Service[Any], opened: Opened, given: dict[str, Any]) -> Any:
    """The options that the data were made with, and those given now in place of them."""
    if opened.record.options is None and not given:
        cure = f"open them from Python: managed({service.name!r}, data={str(opened.path)!r}, ...) with those options"
        raise opened.refuse("they were made with options that cannot be written down", cure)
    return service.options({**(opened.record.options or {}), **given})


def refuse_others(service: str, **arguments: Any) -> None:
    """Raises InvalidOption for an argument that only fresh data can have."""
    for name, value in arguments.items():
        if value is not None and value is not False:
            problem = "it is for fresh data, and data= names data that are there; leave one of the two out"
            raise InvalidOption(service=service, option=name, problem=problem, known=[])


def program(service: Service[Any], options: Any, opened: Opened) -> str:
    """The program that wrote the data, if it is still there, else the first one found that can read them.

    Raises KeptDataError, which names both versions, or BinaryNotFound where there is no program at all.
    """
    record = opened.record
    written = Written(record.program, record.server_version)
    seen = []
    try:
        for path in _candidates(service, options, record.program):
            if path == record.program and program_state(path) == record.program_state:
                return path
            version = service.version(path)
            if service.reads(written, Written(path, version)):
                return path
            seen.append(f"{os.path.basename(path)} {version or 'of unknown version'} ({path})")
    except BinaryNotFound as missing:
        if missing.problem is None or seen:
            raise
        seen.append(missing.problem)
    install = [f"{tool}: {command}" for tool, command in service.install.items() if not command.startswith("not ")]
    wanted = f"{os.path.basename(record.program)} {record.server_version or ''}".strip()
    variable = binaries.variables(service.name)[0]
    cure = f"install {wanted} ({'; '.join(install) or 'from its makers'}), or set {variable} to where it is"
    raise opened.refuse(f"{wanted} wrote these data, and here is {', '.join(seen)}, which cannot read them", cure)


def _candidates(service: Service[Any], options: Any, before: str) -> Iterator[str]:
    named = any(os.environ.get(name) for name in binaries.variables(service.name))
    if not named and os.access(before, os.X_OK):
        yield before
    found = service.program(options)
    if named or found != before:
        yield found


def as_owner(plan: Plan, opened: Opened) -> Plan:
    """The plan for the account that the data belong to. Raises KeptDataError where it cannot reach them."""
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
        problem = f"the data belong to user id {owner}, which is no account of this machine"
        raise opened.refuse(problem, f"chown -R them to an account, {plan.account or 'yours'}") from None
    if os.geteuid() != 0:
        cure = f"open them as {account}: sudo -u {account} servicectx open {shlex.quote(str(opened.path))}"
        raise opened.refuse(f"the data belong to {account}, not to you", cure)
    way = opened.path.parent  # the keeper lets the account through the directory itself
    if not paths.passable(way):
        closed = next(each for each in [way, *way.parents][::-1] if not paths.passable(each))
        problem = f"the server runs as {account}, and this account cannot get through {closed}"
        raise opened.refuse(problem, f"chmod o+x {shlex.quote(str(closed))}, or move the data elsewhere")
    return plan._replace(account=account)
