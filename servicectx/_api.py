"""The public functions: `managed`, `managed_all`, `isolated`."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from servicectx._managed import Managed
from servicectx.client.ticket import HoldContext
from servicectx.request import config
from servicectx.request import setup as _setups
from servicectx.request.resolve import Keep, resolve
from servicectx.services import registry
from servicectx.services.base import Service
from servicectx.system.real_files import RealFiles

if TYPE_CHECKING:
    from servicectx._isolated import Isolated
    from servicectx._managed_all import ManagedAll
    from servicectx.services.details import ServiceDetails

if TYPE_CHECKING:
    # generated: imports, by python -m tests.services.generate
    from servicectx.request.arguments import (
        AsgiArguments,
        CockroachArguments,
        CommandArguments,
        ElasticsearchArguments,
        EtcdArguments,
        KafkaArguments,
        MariadbArguments,
        MemcachedArguments,
        MongodbArguments,
        MotoArguments,
        MqttArguments,
        NamedArguments,
        NatsArguments,
        OpensearchArguments,
        PostgresArguments,
        RabbitmqArguments,
        RedisArguments,
        S3Arguments,
        SmtpArguments,
        TemporalArguments,
        VaultArguments,
        WsgiArguments,
        ZookeeperArguments,
    )
    from servicectx.services.cockroach.details import CockroachDetails
    from servicectx.services.command.details import CommandDetails
    from servicectx.services.elasticsearch.details import ElasticsearchDetails
    from servicectx.services.etcd.details import EtcdDetails
    from servicectx.services.kafka.details import KafkaDetails
    from servicectx.services.mariadb.details import MariadbDetails
    from servicectx.services.memcached.details import MemcachedDetails
    from servicectx.services.mongodb.details import MongodbDetails
    from servicectx.services.moto.details import MotoDetails
    from servicectx.services.mqtt.details import MqttDetails
    from servicectx.services.nats.details import NatsDetails
    from servicectx.services.opensearch.details import OpensearchDetails
    from servicectx.services.postgres.details import PostgresDetails
    from servicectx.services.rabbitmq.details import RabbitmqDetails
    from servicectx.services.redis.details import RedisDetails
    from servicectx.services.s3.details import S3Details
    from servicectx.services.smtp.details import SmtpDetails
    from servicectx.services.temporal.details import TemporalDetails
    from servicectx.services.vault.details import VaultDetails
    from servicectx.services.web_app_details import AppDetails
    from servicectx.services.zookeeper.details import ZookeeperDetails
    # end of imports

D = TypeVar("D", bound="ServiceDetails")
Step = Callable[..., Any] | str | os.PathLike[str]
Setup = Step | Sequence[Step]
Depends = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@overload
def managed(service: Service[D] | type[Service[D]], /, **arguments: Any) -> Managed[D]: ...
# generated: overloads, by python -m tests.services.generate
@overload
def managed(service: Literal["asgi"], /, **arguments: "Unpack[AsgiArguments]") -> "Managed[AppDetails]": ...
@overload
def managed(
    service: Literal["cockroach"], /, **arguments: "Unpack[CockroachArguments]"
) -> "Managed[CockroachDetails]": ...
@overload
def managed(service: Literal["command"], /, **arguments: "Unpack[CommandArguments]") -> "Managed[CommandDetails]": ...
@overload
def managed(
    service: Literal["elasticsearch"], /, **arguments: "Unpack[ElasticsearchArguments]"
) -> "Managed[ElasticsearchDetails]": ...
@overload
def managed(service: Literal["etcd"], /, **arguments: "Unpack[EtcdArguments]") -> "Managed[EtcdDetails]": ...
@overload
def managed(service: Literal["kafka"], /, **arguments: "Unpack[KafkaArguments]") -> "Managed[KafkaDetails]": ...
@overload
def managed(
    service: Literal["mariadb", "mysql"], /, **arguments: "Unpack[MariadbArguments]"
) -> "Managed[MariadbDetails]": ...
@overload
def managed(
    service: Literal["memcached"], /, **arguments: "Unpack[MemcachedArguments]"
) -> "Managed[MemcachedDetails]": ...
@overload
def managed(service: Literal["mongodb"], /, **arguments: "Unpack[MongodbArguments]") -> "Managed[MongodbDetails]": ...
@overload
def managed(service: Literal["moto", "aws"], /, **arguments: "Unpack[MotoArguments]") -> "Managed[MotoDetails]": ...
@overload
def managed(service: Literal["mqtt"], /, **arguments: "Unpack[MqttArguments]") -> "Managed[MqttDetails]": ...
@overload
def managed(service: Literal["nats"], /, **arguments: "Unpack[NatsArguments]") -> "Managed[NatsDetails]": ...
@overload
def managed(
    service: Literal["opensearch"], /, **arguments: "Unpack[OpensearchArguments]"
) -> "Managed[OpensearchDetails]": ...
@overload
def managed(
    service: Literal["postgres", "postgresql"], /, **arguments: "Unpack[PostgresArguments]"
) -> "Managed[PostgresDetails]": ...
@overload
def managed(
    service: Literal["rabbitmq"], /, **arguments: "Unpack[RabbitmqArguments]"
) -> "Managed[RabbitmqDetails]": ...
@overload
def managed(
    service: Literal["redis", "valkey"], /, **arguments: "Unpack[RedisArguments]"
) -> "Managed[RedisDetails]": ...
@overload
def managed(service: Literal["s3"], /, **arguments: "Unpack[S3Arguments]") -> "Managed[S3Details]": ...
@overload
def managed(service: Literal["smtp"], /, **arguments: "Unpack[SmtpArguments]") -> "Managed[SmtpDetails]": ...
@overload
def managed(
    service: Literal["temporal"], /, **arguments: "Unpack[TemporalArguments]"
) -> "Managed[TemporalDetails]": ...
@overload
def managed(service: Literal["vault"], /, **arguments: "Unpack[VaultArguments]") -> "Managed[VaultDetails]": ...
@overload
def managed(service: Literal["wsgi"], /, **arguments: "Unpack[WsgiArguments]") -> "Managed[AppDetails]": ...
@overload
def managed(
    service: Literal["zookeeper"], /, **arguments: "Unpack[ZookeeperArguments]"
) -> "Managed[ZookeeperDetails]": ...
@overload
def managed(service: str, /, **arguments: "Unpack[NamedArguments]") -> Managed[Any]: ...


# end of overloads


def managed(
    service: Any,
    /,
    *,
    name: str | None = None,
    scope: str | None = None,
    setup: Setup | None = None,
    snapshot: bool | str | None = None,
    linger: float | str | None = None,
    keep_data: Keep = False,
    data: str | os.PathLike[str] | None = None,
    storage: str | os.PathLike[str] | None = None,
    timeout: float | str | None = None,
    port: int | None = None,
    ports: Mapping[str, int] | None = None,
    depends: Depends | None = None,
    persist: bool | None = None,
    **options: Any,
) -> Managed[Any]:
    """A real service for the length of a `with` or `async with` block: started, or joined if it already runs.

    Calls with equal scope, name, service, options and set-up share one instance. The last user to leave stops it, and
    nothing is left. Nothing happens before the block is entered.

    Args:
        service: a registered name ("postgres", "redis", "command" ...), a name from the project's `[tool.servicectx]`
            (its values are the defaults of the other arguments), or a `Service` class or instance.
        name: the role of the service; default: the service's name. If `SERVICECTX_<NAME>_DETAILS` is set in the
            environment, the block uses these external details: nothing is started, stopped or set up.
        scope: the users that share the instance: "project" (default: all below one project directory), "user",
            "private", or any text that the callers agree on. "project:DIRECTORY" is the project around that directory.
        setup: fills a fresh instance once, before any other user can join it: a callable that takes the details, files
            that the service understands (.sql for Postgres), or a list of both, run in order.
        snapshot: store the data after the set-up in the cache: the next start copies them and skips the set-up. True
            for a set-up of files; otherwise a text that you change whenever the set-up changes.
        linger: seconds to stay up after the last user has left, or a duration such as "2h". The longest time of all
            users counts.
        keep_data: leave the data, and log the command that opens it again. An instance that this call starts has
            durable settings, so that the data survives a crash; an instance that it joins is stopped cleanly. "where
            possible" logs a warning, in place of the error, for a service without data.
        data: a directory that `keep_data` left: run on this data, as the account that owns it and with its
            password. The data stays at the end. Equal calls share one instance.
        storage: the place of the data: "memory", "disk", or a directory. It is a part of the key. Default: memory if
            there is room, otherwise disk; below `SERVICECTX_HOME` if that is set.
        timeout: seconds for the whole start, or a duration such as "2m", including the wait for a start by another
            process (default 60).
        port: the port of the service, from 1 to 65535; default: a free one. It is a part of the key. The start fails
            at once with PortInUse where another program has it. Ports below 1024 need a privilege on most systems.
        ports: further ports of the service, by name, such as `{"management": 15672}`; the page of each service lists
            its names. The others are free ones.
        depends: files that the set-up reads: a pattern, or a list of patterns, such as `["migrations/**"]`, relative to
            the project; a directory stands for all files in it. Their contents are a part of the key, so that a changed
            file leads to another instance, with a new run of the set-up. The attribute `depends` of a function of the
            set-up counts as well.
        persist: data for development that stays: durable settings, and a directory of its own below the user's data
            directory, or `SERVICECTX_DATA`. Calls with the same project (or `scope`) and name find the same data, also
            after a crash or a reboot, with the same password and, if it is free, the same port. A set-up runs once;
            KeptDataError is raised on entering where it has changed, or where options contradict the data. Only
            `servicectx persist remove NAME` removes the data.
        options: the options of the service, such as `settings`.

    Raises:
        UnknownService, InvalidOption, ConfigError, KeptDataError: at the call. `Managed.__enter__` lists the errors of
        the start.
    """
    with RealFiles():
        return Managed(
            resolve(
                service,
                name,
                scope,
                setup,
                snapshot,
                linger,
                keep_data,
                storage,
                timeout,
                options,
                data,
                port,
                ports,
                depends,
                persist,
            )
        )


def managed_all(*services: Any, **named: Any) -> "ManagedAll":
    """Several services at once, started in parallel.

    Args:
        services: names, `Service` classes or instances, or `managed(...)` objects; the block returns a tuple of
            details in this order.
        named: the same by role; the block returns an object with the details as attributes.

    Raises:
        TypeError: both forms at once. On entering, the errors of a member: the other members are left first.
    """
    from servicectx._managed_all import ManagedAll

    if services and named:
        raise TypeError("managed_all() takes services in order, or by name, not both")
    members = [service if isinstance(service, Managed) else managed(service) for service in services]
    roles = {
        role: service if isinstance(service, Managed) else managed(service, name=role)
        for role, service in named.items()
    }
    return ManagedAll(members, roles)


def isolated(
    details: D, *, setup: Setup | None = None, depends: Depends | None = None, keep: bool = False
) -> "Isolated[D]":
    """A fresh namespace of a shared instance for the length of a `with` or `async with` block.

    Postgres: a database, cloned from the state after the set-up of `managed()`. Redis: a logical database. The
    namespace is removed at the end, even while clients are connected. Namespaces of killed users are removed, too.

    Args:
        details: the details of `managed()`, or external details. On an external server the namespace is empty, and is
            made with the rights of the user in the details. Details of `isolated()` only name the server: their data is
            not copied.
        setup: fills the namespace: a callable that takes the details, a file that the service understands, or a list of
            both, run in order. Postgres keeps the result of each step as a template, so that each step runs once on an
            instance. A set-up is identified as for `managed()`, and must close its connections.
        depends: files that the set-ups read, as for `managed()`: a changed file leads to a new template.
        keep: leave the namespace, and log how to connect to it. A local instance then stays up for an hour after its
            last user has left.

    Raises:
        InvalidOption: at the call: the set-up is a missing file, or a file that the service does not understand; a
            pattern of `depends` matches no file.
        TypeError: at the call: `details` is not the details of a service but, for example, the `managed(...)` object.
        NotIsolable, SetupFailed: on entering.
    """
    from servicectx._isolated import Isolated

    with RealFiles():
        if not isinstance(getattr(details, "service", None), str):
            raise _not_details(details)
        service = registry.find_again(details)
        return Isolated(service, details, _setups.namespace_steps(service, setup, depends), keep)


_NOT_DETAILS = (
    "isolated() takes the details of a running service, not a {}; enter the service first: "
    'with managed("{}") as pg, isolated(pg) as db: ...'
)


def _not_details(given: object) -> TypeError:
    """The error names only the type: a URL, for example, contains a password."""
    service = given._request.service.name if isinstance(given, Managed) else "postgres"
    return TypeError(_NOT_DETAILS.format(type(given).__name__, service))


def hold(ticket: str) -> HoldContext:
    """One more lease, in this process, on an instance that another process has entered, for the length of a block.

    Only the `ticket` of the other process (`Managed.ticket`) is needed, not the arguments or the set-up. The last user
    to leave stops the service.

    Args:
        ticket: the text of `Managed.ticket`.

    Raises:
        ServiceDied: on entering: the instance does not run any more.
    """
    return HoldContext(ticket)


def service_names() -> list[str]:
    """The names that `managed()` accepts: built-in, of other packages, registered, and of the project."""
    return sorted({*registry.names(), *config.names()})
