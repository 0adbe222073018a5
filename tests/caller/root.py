"""Conditions of tests that only root can run, in namespaces: skipped for other users, required in CI."""

import os
import shutil

import pytest

REQUIRED = "SERVICECTX_REQUIRE_SERVERS" in os.environ


def require_root(*programs: str) -> None:
    """Skip this test for an ordinary user, or if one of `programs` is missing. Fail it if servers are required."""
    reason = "" if os.geteuid() == 0 else "root is needed"
    reason = reason or ", ".join(f"{program} is missing" for program in programs if shutil.which(program) is None)
    if reason:
        assert not REQUIRED, reason
        pytest.skip(reason)
