"""Real services for tests and scripts: started when first needed, shared safely, gone when the last user leaves."""

from typing import TYPE_CHECKING, Any

import servicectx._originals  # noqa: F401  # now, before a test replaces what it copies

if TYPE_CHECKING:
    from servicectx._api import hold, isolated, managed, managed_all, service_names
    from servicectx._cache import cache_entries, clear_cache
    from servicectx._durations import seconds
    from servicectx._exits import leave_at_exit
    from servicectx._managed import Managed
    from servicectx.details.app import AppDetails
    from servicectx.details.base import ServiceDetails
    from servicectx.details.cockroach import CockroachDetails
    from servicectx.details.command import CommandDetails
    from servicectx.details.etcd import EtcdDetails
    from servicectx.details.kafka import KafkaDetails
    from servicectx.details.mariadb import MariadbDetails
    from servicectx.details.memcached import MemcachedDetails
    from servicectx.details.mongodb import MongodbDetails
    from servicectx.details.moto import MotoDetails
    from servicectx.details.mqtt import MqttDetails
    from servicectx.details.nats import NatsDetails
    from servicectx.details.postgres import PostgresDetails
    from servicectx.details.rabbitmq import RabbitmqDetails
    from servicectx.details.redis import RedisDetails
    from servicectx.details.s3 import S3Details
    from servicectx.details.search import ElasticsearchDetails, OpensearchDetails
    from servicectx.details.smtp import SmtpDetails
    from servicectx.details.temporal import TemporalDetails
    from servicectx.details.vault import VaultDetails
    from servicectx.details.zookeeper import ZookeeperDetails
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

            from servicectx._real_files import RealFiles

            with RealFiles():  # a module that is imported among fake files keeps them for ever
                value = globals()[name] = getattr(import_module(f"servicectx.{module}"), name)
            return value
    raise AttributeError(f"module 'servicectx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
