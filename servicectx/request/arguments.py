"""The arguments of `managed()` for each service, for type checkers and editors. No code imports this module."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

from servicectx.services.login import Password

Step = Callable[..., Any] | str | PathLike[str]
Setup = Step | Sequence[Step]
Depends = str | PathLike[str] | Sequence[str | PathLike[str]]


class Arguments(TypedDict, total=False):
    """The arguments that `managed()` takes for every service."""

    name: str | None
    scope: str | None
    setup: Setup | None
    snapshot: bool | str | None
    linger: float | str | None
    keep_data: bool | Literal["where possible"]
    data: str | PathLike[str] | None
    storage: str | PathLike[str] | None
    timeout: float | str | None
    port: int | None
    ports: Mapping[str, int] | None
    depends: Depends | None
    persist: bool | None


# generated: arguments, by python -m tests.services.generate
class AsgiArguments(Arguments, total=False):
    """The arguments of `managed("asgi")`."""

    app: str
    factory: bool
    ready: str | None
    env: Mapping[str, str]
    settings: Mapping[str, Any]
    grace: float


class CockroachArguments(Arguments, total=False):
    """The arguments of `managed("cockroach")`."""

    version: str | int | None
    user: str
    password: Password
    dbname: str
    memory: str
    settings: Mapping[str, str | int | float | bool]


class CommandArguments(Arguments, total=False):
    """The arguments of `managed("command")`."""

    command: str | Sequence[str]
    ready: str | Callable[..., Any]
    env: Mapping[str, str]
    stop_signal: str
    grace: float


class ElasticsearchArguments(Arguments, total=False):
    """The arguments of `managed("elasticsearch")`."""

    version: str | int | None
    user: str
    password: Password
    heap: str
    settings: Mapping[str, Any]


class EtcdArguments(Arguments, total=False):
    """The arguments of `managed("etcd")`."""

    version: str | int | None
    user: str
    password: Password
    settings: Mapping[str, str | int | bool]


class KafkaArguments(Arguments, total=False):
    """The arguments of `managed("kafka")`."""

    version: str | int | None
    user: str
    password: Password
    flavour: Literal["tansu", "apache"] | None
    settings: Mapping[str, str | int | bool]


class MariadbArguments(Arguments, total=False):
    """The arguments of `managed("mariadb")`."""

    version: str | int | None
    dbname: str
    user: str
    settings: Mapping[str, str | int | float | bool]
    password: Password
    socket: bool


class MemcachedArguments(Arguments, total=False):
    """The arguments of `managed("memcached")`."""

    version: str | int | None
    settings: Mapping[str, str | int | float | bool]
    socket: bool


class MongodbArguments(Arguments, total=False):
    """The arguments of `managed("mongodb")`."""

    version: str | int | None
    user: str
    password: Password
    dbname: str
    settings: Mapping[str, str | int | float | bool]


class MotoArguments(Arguments, total=False):
    """The arguments of `managed("moto")`."""

    access_key: str
    secret_key: Password
    buckets: Sequence[str]
    region: str
    settings: Mapping[str, str | int | bool]


class MqttArguments(Arguments, total=False):
    """The arguments of `managed("mqtt")`."""

    version: str | int | None
    user: str
    password: Password
    server: Literal["mosquitto", "amqtt"] | None
    settings: Mapping[str, Any]


class NatsArguments(Arguments, total=False):
    """The arguments of `managed("nats")`."""

    version: str | int | None
    user: str
    password: Password
    token: Password
    settings: Mapping[str, Any]


class OpensearchArguments(Arguments, total=False):
    """The arguments of `managed("opensearch")`."""

    version: str | int | None
    user: str
    password: Password
    heap: str
    settings: Mapping[str, Any]


class PostgresArguments(Arguments, total=False):
    """The arguments of `managed("postgres")`."""

    version: str | int | None
    dbname: str
    user: str
    settings: Mapping[str, str | int | float | bool]
    locale: str
    scram_iterations: int
    password: Password
    socket: bool
    extensions: Sequence[str]


class RabbitmqArguments(Arguments, total=False):
    """The arguments of `managed("rabbitmq")`."""

    version: str | int | None
    user: str
    password: Password
    vhost: str
    settings: Mapping[str, str | int]
    plugins: Sequence[str]


class RedisArguments(Arguments, total=False):
    """The arguments of `managed("redis")`."""

    version: str | int | None
    flavour: Literal["valkey", "redis"] | None
    settings: Mapping[str, str | int]
    user: str
    password: Password
    socket: bool


class S3Arguments(Arguments, total=False):
    """The arguments of `managed("s3")`."""

    version: str | int | None
    access_key: str
    secret_key: Password
    buckets: Sequence[str]
    flavour: Literal["seaweedfs", "minio"] | None
    region: str
    settings: Mapping[str, str | int | bool]


class SmtpArguments(Arguments, total=False):
    """The arguments of `managed("smtp")`."""

    user: str
    password: Password
    login: bool
    settings: Mapping[str, str | int | bool]


class TemporalArguments(Arguments, total=False):
    """The arguments of `managed("temporal")`."""

    version: str | int | None
    ui: bool
    time_skipping: bool
    settings: Mapping[str, Any]


class VaultArguments(Arguments, total=False):
    """The arguments of `managed("vault")`."""

    version: str | int | None
    token: Password
    flavour: Literal["openbao", "vault"] | None
    settings: Mapping[str, Any]


class WsgiArguments(Arguments, total=False):
    """The arguments of `managed("wsgi")`."""

    app: str
    factory: bool
    ready: str | None
    env: Mapping[str, str]
    settings: Mapping[str, Any]
    grace: float
    server: Literal["gunicorn", "waitress"] | None


class ZookeeperArguments(Arguments, total=False):
    """The arguments of `managed("zookeeper")`."""

    version: str | int | None
    settings: Mapping[str, str | int | float | bool]


class NamedArguments(Arguments, total=False):
    """The arguments of a service that the project names: the options of any built-in service."""

    access_key: str
    app: str
    buckets: Sequence[str]
    command: str | Sequence[str]
    dbname: str
    env: Mapping[str, str]
    extensions: Sequence[str]
    factory: bool
    flavour: (
        Literal["tansu", "apache"]
        | Literal["valkey", "redis"]
        | Literal["seaweedfs", "minio"]
        | Literal["openbao", "vault"]
        | None
    )
    grace: float
    heap: str
    locale: str
    login: bool
    memory: str
    password: Password
    plugins: Sequence[str]
    ready: str | str | Callable[..., Any] | None
    region: str
    scram_iterations: int
    secret_key: Password
    server: Literal["mosquitto", "amqtt"] | Literal["gunicorn", "waitress"] | None
    settings: (
        Mapping[str, Any]
        | Mapping[str, str | int | float | bool]
        | Mapping[str, str | int | bool]
        | Mapping[str, str | int]
    )
    socket: bool
    stop_signal: str
    time_skipping: bool
    token: Password
    ui: bool
    user: str
    version: str | int | None
    vhost: str


# end of arguments
