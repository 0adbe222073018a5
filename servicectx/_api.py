"""The public functions: `managed`, `managed_all`, `isolated`."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from servicectx._isolated import Isolated
from servicectx._managed import Managed
from servicectx._managed_all import ManagedAll
from servicectx.client.ticket import HoldContext
from servicectx.request import config
from servicectx.request import setup as _setups
from servicectx.request.request import Keep, resolve
from servicectx.services import registry
from servicectx.services.base import Service
from servicectx.system.real_files import RealFiles

if TYPE_CHECKING:
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
    **options: Any,
) -> Managed[Any]:
    """A real service for the length of a `with` or `async with` block: started, or joined if it already runs.

    Whoever asks with the same scope, name, service, options and set-up gets the same instance; the last one out
    stops it, and nothing is left. Nothing happens before the block is entered.

    Args:
        service: a registered name ("postgres", "redis", "command" ...), a name from the project's `[tool.servicectx]`
            (whose values then stand for what is not given here), or a `Service` class or instance.
        name: the role it plays for you; the service's name unless given. `SERVICECTX_<NAME>_DETAILS` in the
            environment makes the block use details from outside; nothing is then started, stopped or set up.
        scope: who shares it: "project" (default: everyone below the same project directory), "user", "private", or
            any text that the callers agree on. "project:DIRECTORY" is the project around that directory.
        setup: fills a fresh instance, once, before anybody else sees it: a callable that takes the details, or
            files that the service understands (.sql for Postgres), or a list of both, carried out in order.
        snapshot: keep the data after the set-up in the cache, so that the next start is a copy and the set-up is
            skipped: True for a set-up given as files, else a text that you change whenever the set-up changes.
        linger: seconds to stay up after the last user has left, or a duration such as "2h". The longest time of all
            users counts.
        keep_data: leave the data, and log the command that opens them again. The instance that this call starts has
            durable settings, so that the data outlive a crash; one that it joins is ended cleanly. "where possible"
            warns where a service has nothing to keep, in place of an error.
        data: a directory that `keep_data` left: run on these very data, as the account that they belong to and with
            the password that they had. They stay at the end. Its users share one instance if they ask alike.
        storage: where the data live: "memory", "disk", or a directory; part of what makes an instance the same. By
            default in memory if there is room, else on disk; below `SERVICECTX_HOME` if that is set.
        timeout: seconds for the whole start, or a duration such as "2m", waiting for another requester's
            start included (default 60).
        options: the service's own.

    Raises:
        UnknownService, InvalidOption, ConfigError, KeptDataError: at once. What entering the block raises,
        `Managed.__enter__` lists.
    """
    with RealFiles():
        return Managed(
            resolve(service, name, scope, setup, snapshot, linger, keep_data, storage, timeout, options, data)
        )


def managed_all(*services: Any, **named: Any) -> ManagedAll:
    """Several services at once, started side by side.

    Args:
        services: names, `Service` classes or instances, or `managed(...)` objects; the block then gives a tuple of
            details in that order.
        named: the same by the role that each plays; the block gives an object with these as attributes.

    Raises:
        TypeError: both forms at once. What one of them raises on entering; the others are left again first.
    """
    if services and named:
        raise TypeError("managed_all() takes services in order, or by name, not both")
    members = [service if isinstance(service, Managed) else managed(service) for service in services]
    roles = {
        role: service if isinstance(service, Managed) else managed(service, name=role)
        for role, service in named.items()
    }
    return ManagedAll(members, roles)


def isolated(details: D, *, setup: Setup | None = None, keep: bool = False) -> Isolated[D]:
    """A fresh namespace of a shared instance for the length of a `with` or `async with` block.

    Postgres: a database, cloned from the state right after the set-up of `managed()`. Redis: a logical database. It is
    removed at the end, also while clients are connected; so is what a killed user left.

    Args:
        details: what `managed()` gave, or details of a service from outside. There it is an empty database, made
            with the rights of the user in the details: `setup=` of `managed()` was not carried out. What `isolated()`
            gave says which server it is, and no more: its data are not copied, here and outside.
        setup: what fills it: a callable that takes the details, or a file that the service understands. A list or tuple
            of them is carried out in order. Postgres keeps the result of each as a template, so that each runs once on
            an instance, whoever asks; it is known as the set-up of `managed()` is. It must close its connections.
        keep: leave it there, and log how to connect to it. An instance of ours then stays up for an hour after its
            last user has left.

    Raises:
        InvalidOption: at once: the set-up is a file that is not there, or not for this service.
        TypeError: at once: `details` is not what a block gave, but the `managed(...)` object, for instance.
        NotIsolable, SetupFailed: on entering.
    """
    with RealFiles():
        if not isinstance(getattr(details, "service", None), str):
            raise _not_details(details)
        service = registry.find_again(details.service)
        return Isolated(service, details, _setups.layers(service, setup), keep)


_NOT_DETAILS = (
    "isolated() takes the details of a running service, not a {}; enter the service first: "
    'with managed("{}") as pg, isolated(pg) as db: ...'
)


def _not_details(given: object) -> TypeError:
    """The error names the type alone: a URL, for instance, has a password in it."""
    service = given._request.service.name if isinstance(given, Managed) else "postgres"
    return TypeError(_NOT_DETAILS.format(type(given).__name__, service))


def hold(ticket: str) -> HoldContext:
    """One more lease, in this process, on an instance that another process has entered, for the length of a block.

    It needs neither the arguments nor the set-up that the instance was asked for with, only the other one's `ticket`
    (`Managed.ticket`). The last one out stops the service, as ever.

    Raises:
        ServiceDied: on entering: the instance does not run any more.
    """
    return HoldContext(ticket)


def service_names() -> list[str]:
    """The names that `managed()` knows here: built in, from other packages, registered, and given by the project."""
    return sorted({*registry.names(), *config.names()})
