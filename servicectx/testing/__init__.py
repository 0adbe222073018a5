"""For tests: a fake service that misbehaves when told to, and the conformance checks for services of your own.

Nothing here needs a test framework; a check that fails raises AssertionError.
"""

from servicectx.testing.conformance import Usage, check_service
from servicectx.testing.fake import FakeDetails, FakeOptions, FakeService

__all__ = ["FakeDetails", "FakeOptions", "FakeService", "Usage", "check_service"]
