"""A service for as long as the layer of the context that asked for it."""

import contextlib
import multiprocessing
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import servicectx
from servicectx import Managed, Service, ServiceDetails

if TYPE_CHECKING:
    from behave.runner import Context

PREFIX = "service"

_open: dict[ExitStack, None] = {}
_kept: dict[str, Managed[Any]] = {}


def use_service(
    context: "Context",
    service: str | type[Service[Any]] | Service[Any],
    *,
    name: str | None = None,
    isolated: bool = False,
    **arguments: Any,
) -> Any:
    """Start or join a service, put its details on the context under its name, and give them.

    In `before_all` it is there for the run, in `before_feature` for the feature, in `before_scenario` or a step for
    the scenario; then it is left, and the attribute is gone. A worker of a parallel runner runs `before_all` again for
    each feature or scenario, so there a service of `before_all` is kept until the worker, or its parent, ends.

    Args:
        context: behave's.
        service: as for `servicectx.managed`.
        name: the role it plays, and the attribute; the service's name unless given.
        isolated: give a namespace of its own instead (a database, a logical database ...). Without further
            arguments it is one of the service that the context has under this name, if there is one.
        arguments: as for `servicectx.managed`. `-D servicectx.linger=300`, `servicectx.scope`, `servicectx.storage`,
            `servicectx.timeout` and `servicectx.keep_data` on behave's command line are the defaults.

    Raises:
        What `servicectx.managed` and entering it raise; NotIsolable. TypeError: `service` is something else.
    """
    if not isinstance(service, str) and not hasattr(service, "name"):
        problem = f"use_service() takes the name of a service, or a Service, not {service!r}"
        raise TypeError(f'{problem}: write use_service(context, "redis"), with the arguments of managed() after it')
    servicectx.leave_at_exit(_leave_all)  # some runners forget the clean-ups of `before_all`
    layer = ExitStack()
    _open[layer] = None
    context.add_cleanup(_close, layer)
    details = None if arguments or not isolated else _in_use(context, name or service)
    if details is None:
        managed = servicectx.managed(service, name=name, **(_defaults(context) | arguments))
        details = managed.__enter__()
        in_worker = context.feature is None and multiprocessing.parent_process() is not None
        layer.callback(_keep if in_worker else _leave, managed)
    if isolated:
        details = layer.enter_context(servicectx.isolated(details))
    setattr(context, _attribute(details.name), details)
    return details


def use_service_by_tag(tag: str, context: "Context", services: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
    """For `before_tag`: use what `@service.NAME` or `@service.NAME.isolated` asks for; other tags do nothing.

    Args:
        tag, context: what behave gave.
        services: arguments of `servicectx.managed` by NAME, with `service` among them unless NAME is the service:
            `{"orders": {"service": "postgres", "setup": migrate}}`.

    Raises:
        ValueError: the tag has another ending. UnknownService, and whatever else `use_service` raises.
    """
    kind, _, rest = tag.partition(".")
    if kind != PREFIX:
        return None
    name, _, ending = rest.partition(".")
    if not name or ending not in ("", "isolated"):
        raise ValueError(f"@{tag} is neither @{PREFIX}.NAME nor @{PREFIX}.NAME.isolated")
    arguments = dict((services or {}).get(name, {}))
    if "service" in arguments:
        arguments["name"] = name
    return use_service(context, arguments.pop("service", name), isolated=ending == "isolated", **arguments)


def _defaults(context: "Context") -> dict[str, Any]:
    userdata = context.config.userdata
    said = {option: userdata.get(f"servicectx.{option}") for option in ("scope", "linger", "storage", "timeout")}
    said["keep_data"] = "where possible" if userdata.getbool("servicectx.keep_data") else None  # it names no service
    return {option: value for option, value in said.items() if value is not None}


def _in_use(context: "Context", service: Any) -> ServiceDetails | None:
    details = getattr(context, _attribute(service if isinstance(service, str) else service.name), None)
    return details if isinstance(details, ServiceDetails) else None


def _attribute(name: str) -> str:
    return name.replace("-", "_")


def _close(layer: ExitStack) -> None:
    _open.pop(layer, None)
    layer.close()


def _leave(managed: Managed[Any]) -> None:
    managed.__exit__(None, None, None)


def _keep(managed: Managed[Any]) -> None:
    """Hold this one until the worker ends, instead of the one before it."""
    assert managed.details is not None
    before = _kept.get(managed.details.name)
    _kept[managed.details.name] = managed
    if before is not None:
        _leave(before)


def _leave_all() -> None:
    """In the order of a with statement. A namespace whose server is gone already must not keep the rest open."""
    for layer in reversed(list(_open)):
        with contextlib.suppress(Exception):
            _close(layer)
    for name in list(_kept):
        managed = _kept.pop(name, None)
        if managed is not None:
            _leave(managed)


def _forget() -> None:
    """What a parent entered, no child leaves."""
    _open.clear()
    _kept.clear()


os.register_at_fork(after_in_child=_forget)
