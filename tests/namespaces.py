"""Linux namespaces of a test's own: mounts and processes that nobody else sees. Root may make them."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@functools.cache
def problem() -> str:
    """Why there are none here; "" where there are."""
    if os.geteuid() != 0:
        return "only root may make namespaces"
    try:
        tried = subprocess.run(
            ["unshare", "-m", "-p", "--fork", "--mount-proc", "true"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return "no program `unshare`"
    return tried.stderr.strip()


def require() -> None:
    """Skip the test where there are none; fail it where nothing may be missing."""
    if why := problem():
        assert "SERVICECTX_REQUIRE_SERVERS" not in os.environ, why
        pytest.skip(f"needs namespaces: {why}")


def run(*options: str, script: str, seconds: float = 60.0, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python script in new namespaces, which `unshare` gets `options` for."""
    return subprocess.run(
        ["unshare", *options, sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
