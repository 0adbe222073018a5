"""Keys of pytest's stash: the state of the plugin for a run, a process and a test."""

from typing import TYPE_CHECKING, Any

import pytest

from servicectx_pytest._coordinator import Coordinator

if TYPE_CHECKING:
    from servicectx_pytest._services import Services

COORDINATOR = pytest.StashKey[Coordinator]()
#: The open namespaces of a test, class, module, package or session, by fixture.
NAMESPACES = pytest.StashKey[dict[str, Any]]()
SERVICES: "pytest.StashKey[Services]" = pytest.StashKey()
KNOWN = pytest.StashKey[set[str]]()
