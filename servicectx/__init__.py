"""Real services for tests and scripts: started when first needed, shared safely, gone when the last user leaves."""

from typing import TYPE_CHECKING, Any

import servicectx.system.originals  # noqa: F401  # now, before a test replaces what it copies

if TYPE_CHECKING:
    from servicectx._api import hold, isolated, managed, managed_all, service_names
    from servicectx.datadirs.listing import cache_entries, clear_cache
    from servicectx.request.durations import seconds
    from servicectx.system.exit_hooks import leave_at_exit
    from servicectx._managed import Managed
    from servicectx.services.web_app_details import AppDetails
    from servicectx.services.details import ServiceDetails
    from servicectx.services.cockroach.details import CockroachDetails
    from servicectx.services.command.details import CommandDetails
    from servicectx.services.etcd.details import EtcdDetails
    from servicectx.services.kafka.details import KafkaDetails
    from servicectx.services.mariadb.details import MariadbDetails
    from servicectx.services.memcached.details import MemcachedDetails
    from servicectx.services.mongodb.details import MongodbDetails
    from servicectx.services.moto.details import MotoDetails
    from servicectx.services.mqtt.details import MqttDetails
    from servicectx.services.nats.details import NatsDetails
    from servicectx.services.postgres.details import PostgresDetails
    from servicectx.services.rabbitmq.details import RabbitmqDetails
    from servicectx.services.redis.details import RedisDetails
    from servicectx.services.s3.details import S3Details
    from servicectx.services.search_details import ElasticsearchDetails, OpensearchDetails
    from servicectx.services.smtp.details import SmtpDetails
    from servicectx.services.temporal.details import TemporalDetails
    from servicectx.services.vault.details import VaultDetails
    from servicectx.services.zookeeper.details import ZookeeperDetails
    from servicectx.errors import (
        BinaryNotFound,
        ConfigError,
        DetailsError,
        HomeError,
        InvalidOption,
        KeptDataError,
        NotIsolable,
        ServiceCtxError,
        ServiceDied,
        SetupFailed,
        StartFailed,
        StartTimeout,
        UnknownService,
    )
    from servicectx.services.base import Plan, Service, Template
    from servicectx.services.registry import register

__version__ = "0.1.0"

# Read when asked for: a keeper, which is a process of this package too, must not pay for what only callers need,
# and callers import pydantic only while their service starts.
_WHERE = {
    "_api": ("hold", "isolated", "managed", "managed_all", "service_names"),
    "_cache": ("cache_entries", "clear_cache"),
    "_durations": ("seconds",),
    "_exits": ("leave_at_exit",),
    "_managed": ("Managed",),
    "details.app": ("AppDetails",),
    "details.base": ("ServiceDetails",),
    "details.cockroach": ("CockroachDetails",),
    "details.command": ("CommandDetails",),
    "details.etcd": ("EtcdDetails",),
    "details.kafka": ("KafkaDetails",),
    "details.mariadb": ("MariadbDetails",),
    "details.memcached": ("MemcachedDetails",),
    "details.mongodb": ("MongodbDetails",),
    "details.moto": ("MotoDetails",),
    "details.mqtt": ("MqttDetails",),
    "details.nats": ("NatsDetails",),
    "details.postgres": ("PostgresDetails",),
    "details.rabbitmq": ("RabbitmqDetails",),
    "details.redis": ("RedisDetails",),
    "details.s3": ("S3Details",),
    "details.search": ("ElasticsearchDetails", "OpensearchDetails"),
    "details.smtp": ("SmtpDetails",),
    "details.temporal": ("TemporalDetails",),
    "details.vault": ("VaultDetails",),
    "details.zookeeper": ("ZookeeperDetails",),
    "errors": (
        "BinaryNotFound",
        "ConfigError",
        "DetailsError",
        "HomeError",
        "InvalidOption",
        "KeptDataError",
        "NotIsolable",
        "ServiceCtxError",
        "ServiceDied",
        "SetupFailed",
        "StartFailed",
        "StartTimeout",
        "UnknownService",
    ),
    "services.base": ("Plan", "Service", "Template"),
    "services.registry": ("register",),
}

__all__ = [
    "AppDetails",
    "BinaryNotFound",
    "CockroachDetails",
    "CommandDetails",
    "ConfigError",
    "DetailsError",
    "ElasticsearchDetails",
    "EtcdDetails",
    "HomeError",
    "InvalidOption",
    "KafkaDetails",
    "KeptDataError",
    "Managed",
    "MariadbDetails",
    "MemcachedDetails",
    "MongodbDetails",
    "MotoDetails",
    "MqttDetails",
    "NatsDetails",
    "NotIsolable",
    "OpensearchDetails",
    "Plan",
    "PostgresDetails",
    "RabbitmqDetails",
    "RedisDetails",
    "S3Details",
    "Service",
    "ServiceCtxError",
    "ServiceDetails",
    "ServiceDied",
    "SetupFailed",
    "SmtpDetails",
    "StartFailed",
    "StartTimeout",
    "Template",
    "TemporalDetails",
    "UnknownService",
    "VaultDetails",
    "ZookeeperDetails",
    "__version__",
    "cache_entries",
    "clear_cache",
    "hold",
    "isolated",
    "leave_at_exit",
    "managed",
    "managed_all",
    "register",
    "seconds",
    "service_names",
]


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            from importlib import import_module

            from servicectx.system.real_files import RealFiles

            with RealFiles():  # a module that is imported among fake files keeps them for ever
                value = globals()[name] = getattr(import_module(f"servicectx.{module}"), name)
            return value
    raise AttributeError(f"module 'servicectx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
