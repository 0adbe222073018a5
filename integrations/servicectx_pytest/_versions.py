"""The servers of a fixture with several versions: what is missing is skipped by name, or required."""

import os
from typing import Any

import pytest

from servicectx_pytest._services import Services, label

REQUIRED = "SERVICECTX_REQUIRE_SERVERS"


def require_version(services: Services, service: Any, arguments: dict[str, Any]) -> None:
    """Skip the test if no server of that version is installed, unless REQUIRED is set.

    An external server has one version only: `managed()` refuses the others, and they are skipped.
    """
    __tracebackhide__ = True
    from servicectx import BinaryNotFound, DetailsError

    if os.environ.get(REQUIRED):
        return
    managed = services.managed(service, arguments)
    try:
        if managed.key is None:
            with managed:
                return
    except (BinaryNotFound, DetailsError) as missing:
        if isinstance(missing, DetailsError) and missing.field != "version":
            return  # the fixture raises it
        problem = str(missing).partition("\n")[0]
        pytest.skip(f"{label(service, arguments)}: {problem}; {REQUIRED}=1 makes this an error")
