"""Private Linux namespaces for a test: mounts and processes that no other process sees. Only root may make them."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@functools.cache
def problem() -> str:
    """The reason why namespaces are not available; "" if they are."""
    if os.geteuid() != 0:
        return "only root may make namespaces"
    try:
        tried = subprocess.run(
            ["unshare", "-m", "-p", "--fork", "--mount-proc", "true"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return "the program `unshare` is missing"
    return tried.stderr.strip()


def require() -> None:
    """Skip the test without namespaces; fail it if SERVICECTX_REQUIRE_SERVERS is set."""
    if reason := problem():
        assert "SERVICECTX_REQUIRE_SERVERS" not in os.environ, reason
        pytest.skip(f"needs namespaces: {reason}")


def run(*options: str, script: str, seconds: float = 60.0, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python script in new namespaces, given by `options` of `unshare`."""
    return subprocess.run(
        ["unshare", *options, sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
