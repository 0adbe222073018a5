"""Real services for tests and scripts: started when first needed, shared safely, gone when the last user leaves."""

from typing import TYPE_CHECKING, Any

import servicectx.system.originals  # noqa: F401  # now, before a test replaces what it copies

if TYPE_CHECKING:
    from servicectx._api import hold, isolated, managed, managed_all, service_names
    from servicectx._managed import Managed
    from servicectx.datadirs.listing import cache_entries, clear_cache
    from servicectx.errors import (
        BinaryNotFound,
        ConfigError,
        DetailsError,
        HomeError,
        InvalidOption,
        KeptDataError,
        NotIsolable,
        NotSupported,
        PortInUse,
        ServiceCtxError,
        ServiceDied,
        SetupFailed,
        StartFailed,
        StartTimeout,
        UnknownService,
    )
    from servicectx.isolation.interface import Isolation
    from servicectx.request.durations import seconds
    from servicectx.services.base import Plan, Service, Template
    from servicectx.services.details import ServiceDetails
    from servicectx.services.registry import register
    from servicectx.system.exit_hooks import leave_at_exit

if TYPE_CHECKING:
    # generated: models, by python -m tests.services.generate
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
    # end of models

__version__ = "0.1.0"

# Imported at the first use: a keeper, which is a process of this package too, must not pay for what only callers need,
# and callers import pydantic only while their service starts.
_MODULES = {
    "_api": ("hold", "isolated", "managed", "managed_all", "service_names"),
    "_managed": ("Managed",),
    "datadirs.listing": ("cache_entries", "clear_cache"),
    "errors": (
        "BinaryNotFound",
        "ConfigError",
        "DetailsError",
        "HomeError",
        "InvalidOption",
        "KeptDataError",
        "NotIsolable",
        "NotSupported",
        "PortInUse",
        "ServiceCtxError",
        "ServiceDied",
        "SetupFailed",
        "StartFailed",
        "StartTimeout",
        "UnknownService",
    ),
    "isolation.interface": ("Isolation",),
    "notebook.extension": ("load_ipython_extension", "unload_ipython_extension"),
    "request.durations": ("seconds",),
    "services.base": ("Plan", "Service", "Template"),
    "services.details": ("ServiceDetails",),
    "services.registry": ("register",),
    "system.exit_hooks": ("leave_at_exit",),
    # generated: modules, by python -m tests.services.generate
    "services.cockroach.details": ("CockroachDetails",),
    "services.command.details": ("CommandDetails",),
    "services.elasticsearch.details": ("ElasticsearchDetails",),
    "services.etcd.details": ("EtcdDetails",),
    "services.kafka.details": ("KafkaDetails",),
    "services.mariadb.details": ("MariadbDetails",),
    "services.memcached.details": ("MemcachedDetails",),
    "services.mongodb.details": ("MongodbDetails",),
    "services.moto.details": ("MotoDetails",),
    "services.mqtt.details": ("MqttDetails",),
    "services.nats.details": ("NatsDetails",),
    "services.opensearch.details": ("OpensearchDetails",),
    "services.postgres.details": ("PostgresDetails",),
    "services.rabbitmq.details": ("RabbitmqDetails",),
    "services.redis.details": ("RedisDetails",),
    "services.s3.details": ("S3Details",),
    "services.smtp.details": ("SmtpDetails",),
    "services.temporal.details": ("TemporalDetails",),
    "services.vault.details": ("VaultDetails",),
    "services.web_app_details": ("AppDetails",),
    "services.zookeeper.details": ("ZookeeperDetails",),
    # end of modules
}

__all__ = [  # noqa: RUF022  # by kind
    # generated: names, by python -m tests.services.generate
    "AppDetails",
    "CockroachDetails",
    "CommandDetails",
    "ElasticsearchDetails",
    "EtcdDetails",
    "KafkaDetails",
    "MariadbDetails",
    "MemcachedDetails",
    "MongodbDetails",
    "MotoDetails",
    "MqttDetails",
    "NatsDetails",
    "OpensearchDetails",
    "PostgresDetails",
    "RabbitmqDetails",
    "RedisDetails",
    "S3Details",
    "SmtpDetails",
    "TemporalDetails",
    "VaultDetails",
    "ZookeeperDetails",
    # end of names
    "BinaryNotFound",
    "ConfigError",
    "DetailsError",
    "HomeError",
    "InvalidOption",
    "Isolation",
    "KeptDataError",
    "Managed",
    "NotIsolable",
    "NotSupported",
    "PortInUse",
    "Plan",
    "Service",
    "ServiceCtxError",
    "ServiceDetails",
    "ServiceDied",
    "SetupFailed",
    "StartFailed",
    "StartTimeout",
    "Template",
    "UnknownService",
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
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            from servicectx.system.real_files import RealFiles

            with RealFiles():  # a module that is imported among fake files keeps them for ever
                value = globals()[name] = getattr(import_module(f"servicectx.{module}"), name)
            return value
    raise AttributeError(f"module 'servicectx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
