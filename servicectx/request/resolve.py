"""Resolve the arguments of one `managed()` call: the call first, then the environment, then the project's files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from servicectx.errors import InvalidOption, UnknownService
from servicectx.request import address, config, durations, opened_data, persistent_data
from servicectx.request import key as _key
from servicectx.request.address import Address
from servicectx.request.project import project
from servicectx.request.request import Request
from servicectx.request.setup import depends_of, files_of, steps_of, without_setup
from servicectx.services import registry
from servicectx.services.base import Service
from servicectx.state.storage import WORDS

Keep = bool | Literal["where possible"]
WHERE_POSSIBLE: Literal["where possible"] = "where possible"
TIMEOUT = 60.0  # seconds
RUN_SCOPE = "SERVICECTX_RUN_SCOPE"  # the variable that `servicectx run` sets for its command
NOT_PERSISTENT = ("snapshot", "storage")  # arguments that contradict `persist`


def resolve(
    service: Any,
    name: str | None,
    scope: str | None,
    setup: _key.Setup | None,
    snapshot: bool | str | None,
    linger: float | str | None,
    keep_data: Keep,
    storage: str | os.PathLike[str] | None,
    timeout: float | str | None,
    options: dict[str, Any],
    data: str | os.PathLike[str] | None = None,
    port: int | None = None,
    ports: Mapping[str, int] | None = None,
    depends: Any = None,
    persist: bool | None = None,
) -> Request[Any]:
    entry = config.find(service, scope if isinstance(scope, str) else None) if isinstance(service, str) else None
    configured: dict[str, Any] = {} if entry is None else entry.arguments
    arguments: dict[str, Any] = {"setup": setup, "snapshot": snapshot, "linger": linger, "storage": storage}
    arguments |= {"timeout": timeout, "port": port, "ports": ports, "depends": depends, "persist": persist}
    given = {argument: value for argument, value in (arguments | {"scope": scope}).items() if value is not None}
    with config.blaming(
        entry, options | given | {argument: True for argument in (*arguments, "scope") if _variable(argument)}
    ):
        found = _find(service) if entry is None else registry.find(entry.service)
        effective_name = name or (service if entry is not None or service == found.name else found.name)
        setup = steps_of(found, configured.get("setup") if setup is None else setup)
        files = files_of(found, setup)
        patterns = configured.get("depends") if depends is None else depends
        opened = None
        persists = _persist(found, configured.get("persist") if persist is None else persist)
        if persists:
            own = {
                name: configured.get(name) if arguments[name] is None else arguments[name] for name in NOT_PERSISTENT
            }
            persistent_data.refuse_others(found.name, data=data, **own)
        if data is not None:
            opened_data.refuse_others(found.name, setup=setup, depends=depends, snapshot=snapshot, storage=storage)
            opened = opened_data.find(found, data)
        if depends is not None and setup is None:
            raise without_setup(found.name)
        keep = _keep(found, keep_data, entry)
        merged = options if entry is None else entry.options | options
        linger_seconds = _seconds(found, "linger", linger, "SERVICECTX_LINGER", configured.get("linger", 0.0))
        default_scope = configured.get("scope") or (run_scope() if linger_seconds == 0 else None)
        effective_scope = _scope(found, scope, default_scope, opened)
        if persists:
            effective_scope = persistent_data.scope(found.name, effective_scope)
        return Request(
            service=found,
            name=_text(found, "name", effective_name),
            scope=effective_scope,
            setup=setup,
            setup_files=files,
            snapshot=_snapshot(found, configured.get("snapshot") if snapshot is None else snapshot, setup, files),
            linger=linger_seconds,
            keep_data=keep is not False or opened is not None or persists,
            keep_strictly=keep is not WHERE_POSSIBLE or persists,
            storage=None if opened is not None or persists else _storage(found, storage, configured.get("storage")),
            timeout=_seconds(found, "timeout", timeout, "SERVICECTX_TIMEOUT", configured.get("timeout", TIMEOUT)),
            options=found.options(merged) if opened is None else opened_data.options(found, opened, merged),
            opened=opened,
            address=_address(found, configured, port, ports),
            depends=None if setup is None else depends_of(found, setup, patterns, _root(effective_scope)),
            persist=persists,
            given=merged,
            nonce=os.urandom(8).hex() if effective_scope == "private" else "",
        )


def _persist(service: Service[Any], value: Any) -> bool:
    if value not in (None, True, False):
        raise InvalidOption(service=service.name, option="persist", problem=f"{value!r} is not True or False")
    return bool(value)


def _root(scope: str) -> Path | None:
    """The project that a scope names, the base of `depends`; None for the current project."""
    kind, _, directory = scope.partition(":")
    return project(directory) if kind == "project" and directory else None


def _variable(argument: str) -> str | None:
    return os.environ.get(f"SERVICECTX_{argument.upper()}")


def run_scope() -> str | None:
    """The default scope below `servicectx run`: the run itself. An instance that lingers is for later runs, too."""
    return os.environ.get(RUN_SCOPE) or None


def _keep(service: Service[Any], given: Any, entry: config.Entry | None) -> Keep:
    """The value of `keep_data`. The environment applies to all services, so there it means "where possible"."""
    if given not in (True, False, WHERE_POSSIBLE):
        problem = f"{given!r} is not True, False or {WHERE_POSSIBLE!r}"
        raise InvalidOption(service=service.name, option="keep_data", problem=problem)
    if given:
        return True if given is True else WHERE_POSSIBLE
    default = bool(entry is not None and entry.arguments.get("keep_data", False))
    if not os.environ.get("SERVICECTX_KEEP_DATA"):
        return default
    return WHERE_POSSIBLE if _flag("SERVICECTX_KEEP_DATA", default) else False


def _address(
    service: Service[Any], configured: dict[str, Any], port: int | None, ports: Mapping[str, int] | None
) -> Address:
    """The chosen ports. Those of the call replace those of the configuration one by one."""
    given = {"port": configured.get("port") if port is None else port, "ports": ports or {}}
    name = "port"
    try:
        own = None if given["port"] is None else address.port(given["port"])
        name = "ports"
        return Address(own, {**configured.get("ports", {}), **address.ports(given["ports"])})
    except ValueError as error:
        raise InvalidOption(service=service.name, option=name, problem=str(error)) from None


def _find(service: Any) -> Service[Any]:
    try:
        return registry.find(service)
    except UnknownService as error:
        known = sorted({*error.known, *config.names()})
        raise UnknownService(service=error.service, known=known, instead=error.instead) from None


def _snapshot(
    service: Service[Any], value: bool | str | None, setup: _key.Setup | None, files: list[Path] | None
) -> str | None:
    """The version of the set-up: the caller's text, or "files" for files, because the key has their content."""
    if value is None or value is False:
        return None
    if setup is not None and (isinstance(value, str) or files is not None):
        return value if isinstance(value, str) else "files"
    problem = "True is for a set-up of files; for a callable give a text, and change the text with the set-up"
    if setup is None:
        problem = "it keeps the data after a set-up, and none is given"
    raise InvalidOption(service=service.name, option="snapshot", problem=problem)


def _text(service: Service[Any], option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidOption(service=service.name, option=option, problem=f"{value!r} is not a text")
    return value


def _scope(service: Service[Any], given: Any, default: str | None, opened: opened_data.Opened | None) -> str:
    """The scope. A misspelt reserved scope is refused: no other request would share its instance.

    Users of the same kept data share an instance across projects.
    """
    variable = os.environ.get("SERVICECTX_SCOPE")
    scope = _text(service, "scope", given or variable or default or "project")
    if guess := _key.misspelt_scope(scope):
        source = "" if given or not variable else " (from SERVICECTX_SCOPE)"
        problem = f"{scope!r}{source}: did you mean {guess!r}? Any text that is not close to one of these words will do"
        raise InvalidOption(service=service.name, option="scope", problem=problem)
    return scope if opened is None or scope == "private" else f"data:{opened.path}"


def _seconds(service: Service[Any], option: str, given: float | str | None, variable: str, default: float) -> float:
    raw: Any = given if given is not None else os.environ.get(variable) or default
    try:
        return durations.seconds(raw, "" if given is not None else f" (from {variable})")
    except ValueError as error:
        raise InvalidOption(service=service.name, option=option, problem=str(error)) from None


def _storage(service: Service[Any], given: Any, default: str | None) -> str | None:
    """The storage of the data: "memory", "disk" or a directory; None for the default."""
    value = given if given is not None else os.environ.get("SERVICECTX_STORAGE") or default
    if value is None or value in WORDS:
        return value
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        problem = f'{value!r} is neither "memory" nor "disk" nor a directory'
        raise InvalidOption(service=service.name, option="storage", problem=problem)
    return os.path.abspath(value)


def _flag(variable: str, default: bool) -> bool:
    raw = os.environ.get(variable, "").lower()
    return raw not in ("0", "false", "no", "off") if raw else default
