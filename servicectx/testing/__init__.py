"""For tests: a fake service with faults on request, and conformance checks for your own services.

Nothing here needs a test framework; a failed check raises AssertionError.
"""

from servicectx.testing.conformance import Usage, check_service
from servicectx.testing.fake import FakeDetails, FakeOptions, FakeService
from servicectx.testing.instances import describe_instances
from servicectx.testing.migrations import AlembicSetup, DjangoSetup, alembic_setup, django_setup

__all__ = [
    "AlembicSetup",
    "DjangoSetup",
    "FakeDetails",
    "FakeOptions",
    "FakeService",
    "Usage",
    "alembic_setup",
    "check_service",
    "describe_instances",
    "django_setup",
]
