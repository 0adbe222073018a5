"""For tests: a fake service with faults on request, and conformance checks for your own services.

Nothing here needs a test framework; a failed check raises AssertionError.
"""

from servicectx.testing.conformance import Usage, check_service
from servicectx.testing.fake import FakeDetails, FakeOptions, FakeService

__all__ = ["FakeDetails", "FakeOptions", "FakeService", "Usage", "check_service"]
