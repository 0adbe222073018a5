"""Tests that only root can run, in namespaces of their own: skipped for others, and required in CI."""

import os
import shutil

import pytest

REQUIRED = "SERVICECTX_REQUIRE_SERVERS" in os.environ


def require_root(*programs: str) -> None:
    """Skip this test for an ordinary user, or where one of `programs` is missing. Fails where it is required."""
    reason = "" if os.geteuid() == 0 else "root is needed"
    reason = reason or ", ".join(f"{program} is missing" for program in programs if shutil.which(program) is None)
    if reason:
        assert not REQUIRED, reason
        pytest.skip(reason)
