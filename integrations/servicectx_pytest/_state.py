"""Where the plugin keeps what belongs to a run and to a process: in pytest's configuration."""

from typing import TYPE_CHECKING, Any

import pytest

from servicectx_pytest._run import Run

if TYPE_CHECKING:
    from servicectx_pytest._services import Services

RUN = pytest.StashKey[Run]()
NAMESPACES = pytest.StashKey[list[Any]]()
SERVICES: "pytest.StashKey[Services]" = pytest.StashKey()
KNOWN = pytest.StashKey[set[str]]()
