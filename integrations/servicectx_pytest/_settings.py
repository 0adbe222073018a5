"""The options, on the command line and as ini values, and what follows from them for every process of a run."""

import os
from typing import Any, NamedTuple

import pytest


class Settings(NamedTuple):
    """What the fixtures ask for unless a call says otherwise. `address` is where the run's first process listens."""

    scope: str
    linger: float | None
    keep_data: bool
    storage: str | None = None
    keep_failed: bool = False
    address: str = ""

    def defaults(self) -> dict[str, Any]:
        """Arguments of `servicectx.managed`."""
        storage = {} if self.storage is None else {"storage": self.storage}
        keep_data = "where possible" if self.keep_data else False  # it names no service
        return {"scope": self.scope, "linger": self.linger, "keep_data": keep_data, **storage}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("servicectx", "real services")
    scope = "who shares the services: run (the default), project, user, or any text"
    linger = "stay up so long after the last user, for the next run of the project; the default scope is then project"
    keep_data = "leave the data directories, and say where they are"
    keep_failed = "leave the isolated databases of tests that fail, and say how to connect to them"
    storage = "where the data live: memory, disk, or a directory"
    group.addoption("--servicectx-scope", metavar="SCOPE", help=scope)
    group.addoption("--servicectx-linger", metavar="SECONDS", help=linger)
    group.addoption("--servicectx-keep-data", action="store_true", help=keep_data)
    group.addoption("--servicectx-storage", metavar="WHERE", help=storage)
    group.addoption("--servicectx-keep-failed", action="store_true", help=keep_failed)
    parser.addini("servicectx_scope", scope, default="")
    parser.addini("servicectx_linger", linger, default="")
    parser.addini("servicectx_keep_data", keep_data, type="bool", default=False)
    parser.addini("servicectx_keep_failed", keep_failed, type="bool", default=False)
    parser.addini("servicectx_storage", storage, default="")


def settings(config: pytest.Config, run_id: str, address: str = "") -> Settings:
    """The command line wins over ini values, those over the environment. Raises UsageError.

    A worker of pytest-xdist does as its controller says.
    """
    told: dict[str, Any] | None = getattr(config, "workerinput", {}).get("servicectx")
    if told is not None:
        return Settings(**told)
    linger = _seconds(config.getoption("--servicectx-linger") or config.getini("servicectx_linger"))
    lingers = os.environ.get("SERVICECTX_LINGER", "0") != "0" if linger is None else linger > 0
    scope = config.getoption("--servicectx-scope") or config.getini("servicectx_scope")
    scope = scope or os.environ.get("SERVICECTX_SCOPE") or ("project" if lingers else "run")
    if scope == "run":
        scope = f"run-{run_id}"
    elif scope == "project":  # of this run, wherever a test may have changed to when it asks
        scope = f"project:{config.invocation_params.dir}"
    keep_data = bool(config.getoption("--servicectx-keep-data") or config.getini("servicectx_keep_data"))
    storage = config.getoption("--servicectx-storage") or config.getini("servicectx_storage") or None
    if storage not in (None, "memory", "disk"):  # relative to where the run began, wherever a test has gone
        storage = str(config.invocation_params.dir / storage)
        if not os.path.isdir(storage):
            raise pytest.UsageError(f"servicectx storage: {storage} is not a directory; or write memory, or disk")
    keep_failed = bool(config.getoption("--servicectx-keep-failed") or config.getini("servicectx_keep_failed"))
    return Settings(scope, linger, keep_data, storage, keep_failed, address)


def _seconds(said: str) -> float | None:
    if not said:
        return None
    from servicectx import seconds as parsed

    try:
        seconds = parsed(said)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise pytest.UsageError(f"servicectx linger: {said!r} is not a number of seconds, such as 300")
    return seconds
