"""Real services for tests and scripts: started when first needed, shared safely, gone when the last user leaves."""

from typing import TYPE_CHECKING, Any

from servicectx._api import hold, isolated, managed, managed_all, service_names
from servicectx._managed import Managed
from servicectx.errors import (
    BinaryNotFound,
    DetailsError,
    HomeError,
    InvalidOption,
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

if TYPE_CHECKING:
    from servicectx.details.base import ServiceDetails
    from servicectx.details.command import CommandDetails
    from servicectx.details.postgres import PostgresDetails
    from servicectx.details.redis import RedisDetails

__version__ = "0.1.0"

_DETAILS = {
    "ServiceDetails": "base",
    "CommandDetails": "command",
    "PostgresDetails": "postgres",
    "RedisDetails": "redis",
}

__all__ = [
    "BinaryNotFound",
    "CommandDetails",
    "DetailsError",
    "HomeError",
    "InvalidOption",
    "Managed",
    "NotIsolable",
    "Plan",
    "PostgresDetails",
    "RedisDetails",
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
    "hold",
    "isolated",
    "managed",
    "managed_all",
    "register",
    "service_names",
]


def __getattr__(name: str) -> Any:
    """The details models, read when they are asked for: they need pydantic, and a start can do without it at first."""
    if name in _DETAILS:
        from importlib import import_module

        return getattr(import_module(f"servicectx.details.{_DETAILS[name]}"), name)
    raise AttributeError(f"module 'servicectx' has no attribute {name!r}")
