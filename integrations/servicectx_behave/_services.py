"""Services that live as long as a layer of the context."""

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
    """Start or join a service, put its details on the context under its name, and return them.

    Called in `before_all` the service lives for the run, in `before_feature` for the feature, in `before_scenario` or a
    step for the scenario. Then it is left, and the attribute is removed. A worker of a parallel runner runs
    `before_all` again for each feature or scenario, so it keeps such a service until the worker or its parent ends.

    Args:
        context: the context of behave.
        service: as for `servicectx.managed`.
        name: the role of the service, and the name of the attribute; default: the service's name.
        isolated: give a private namespace instead (a database, a logical database ...). Without further arguments the
            namespace belongs to the service that the context has under this name, if there is one.
        arguments: as for `servicectx.managed`. `-D servicectx.linger=300`, `servicectx.scope`, `servicectx.storage`,
            `servicectx.timeout` and `servicectx.keep_data` on behave's command line are the defaults.

    Raises:
        TypeError: `service` is neither a name nor a Service.
        The errors of `servicectx.managed` and of entering it; NotIsolable.
    """
    if not isinstance(service, str) and not hasattr(service, "name"):
        problem = f"use_service() takes the name of a service, or a Service, not {service!r}"
        raise TypeError(f'{problem}: write use_service(context, "redis"), with the arguments of managed() after it')
    layer = _new_layer(context)
    details = None if arguments or not isolated else _in_use(context, name or service)
    if details is None:
        details = _enter(context, layer, service, arguments | {"name": name})
    if isolated:
        details = layer.enter_context(servicectx.isolated(details))
    setattr(context, _attribute(details.name), details)
    return details


def use_service_by_tag(tag: str, context: "Context", services: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
    """For `before_tag`: use the service of `@service.NAME` or `@service.NAME.isolated`; ignore other tags.

    `@service.NAME.isolated` on a feature or a rule gives each of its scenarios a namespace of its own: the scenarios
    get the tag, too, and the feature holds the service. Before and after the scenarios the context has no namespace.

    Args:
        tag, context: the arguments of `before_tag`.
        services: arguments of `servicectx.managed` by NAME, with `service` among them unless NAME is the service:
            `{"orders": {"service": "postgres", "setup": migrate}}`.

    Raises:
        ValueError: the tag has another ending.
        UnknownService, and the other errors of `use_service`.
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
    service = arguments.pop("service", name)
    if ending and getattr(context, "scenario", None) is None:
        _tag_scenarios(getattr(context, "rule", None) or context.feature, tag)
        return None if not arguments and _in_use(context, name) else _hold(context, service, arguments)
    return use_service(context, service, isolated=bool(ending), **arguments)


def _tag_scenarios(container: Any, tag: str) -> None:
    """Give all scenarios of a feature or a rule this tag, so that behave calls `before_tag` for each."""
    for scenario in container.walk_scenarios():
        if tag not in scenario.tags:
            scenario.tags.insert(0, tag)


def _new_layer(context: "Context") -> ExitStack:
    """A stack of context managers that is closed at the end of the context's layer, or at exit."""
    servicectx.leave_at_exit(_leave_all)  # some runners skip the clean-ups of `before_all`
    layer = ExitStack()
    _open[layer] = None
    context.add_cleanup(_close, layer)
    return layer


def _enter(context: "Context", layer: ExitStack, service: Any, arguments: dict[str, Any]) -> Any:
    managed = servicectx.managed(service, **(_defaults(context) | arguments))
    details = managed.__enter__()
    in_worker = context.feature is None and multiprocessing.parent_process() is not None
    layer.callback(_keep if in_worker else _leave, managed)
    return details


def _hold(context: "Context", service: Any, arguments: dict[str, Any]) -> None:
    """Keep a service running for the layer, without its details on the context."""
    _enter(context, _new_layer(context), service, arguments)


def _defaults(context: "Context") -> dict[str, Any]:
    userdata = context.config.userdata
    options = {option: userdata.get(f"servicectx.{option}") for option in ("scope", "linger", "storage", "timeout")}
    # The option names no service, so a service without kept data must not fail.
    options["keep_data"] = "where possible" if userdata.getbool("servicectx.keep_data") else None
    return {option: value for option, value in options.items() if value is not None}


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
    """Hold this service until the worker ends, and leave its predecessor of the same name."""
    assert managed.details is not None
    before = _kept.get(managed.details.name)
    _kept[managed.details.name] = managed
    if before is not None:
        _leave(before)


def _leave_all() -> None:
    """Leave all in reverse order. A namespace of a dead server must not keep the rest open."""
    for layer in reversed(list(_open)):
        with contextlib.suppress(Exception):
            _close(layer)
    for name in list(_kept):
        managed = _kept.pop(name, None)
        if managed is not None:
            _leave(managed)


def _forget() -> None:
    """A forked child must not leave services of its parent."""
    _open.clear()
    _kept.clear()


os.register_at_fork(after_in_child=_forget)
