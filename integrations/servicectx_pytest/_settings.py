"""Options on the command line and as ini values, and the settings for every process of a run."""

import os
from typing import Any, NamedTuple

import pytest


class Settings(NamedTuple):
    """Defaults for the fixtures. `address`: the coordinator in the first process of the run."""

    scope: str
    linger: float | None
    keep_data: bool
    storage: str | None = None
    keep_failed: bool = False
    address: str = ""

    def defaults(self) -> dict[str, Any]:
        """Arguments of `servicectx.managed`."""
        storage = {} if self.storage is None else {"storage": self.storage}
        keep_data = (
            "where possible" if self.keep_data else False
        )  # no service is named, so a service without kept data must not fail
        return {"scope": self.scope, "linger": self.linger, "keep_data": keep_data, **storage}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("servicectx", "real services")
    scope = (
        "the users that share the services: run (the default, also that of servicectx run), project, user, or any text"
    )
    linger = "time to stay up after the last user, for the next run of the project; the default scope is then project"
    keep_data = "keep the data directories, and print their paths"
    keep_failed = "keep the isolated databases of failed tests, and print how to connect to them"
    storage = "place of the data: memory, disk, or a directory"
    group.addoption("--servicectx-scope", metavar="SCOPE", help=scope)
    group.addoption("--servicectx-linger", metavar="DURATION", help=linger)
    group.addoption("--servicectx-keep-data", action="store_true", help=keep_data)
    group.addoption("--servicectx-storage", metavar="WHERE", help=storage)
    group.addoption("--servicectx-keep-failed", action="store_true", help=keep_failed)
    parser.addini("servicectx_scope", scope, default="")
    parser.addini("servicectx_linger", linger, default="")
    parser.addini("servicectx_keep_data", keep_data, type="bool", default=False)
    parser.addini("servicectx_keep_failed", keep_failed, type="bool", default=False)
    parser.addini("servicectx_storage", storage, default="")


def settings(config: pytest.Config, run_id: str, address: str = "") -> Settings:
    """Settings of the run: the command line wins over ini values, ini values over the environment. Raises UsageError.

    A worker of pytest-xdist gets the settings of its controller.
    """
    received: dict[str, Any] | None = getattr(config, "workerinput", {}).get("servicectx")
    if received is not None:
        return Settings(**received)
    linger = _seconds(config.getoption("--servicectx-linger") or config.getini("servicectx_linger"))
    lingers = os.environ.get("SERVICECTX_LINGER", "0") != "0" if linger is None else linger > 0
    scope = config.getoption("--servicectx-scope") or config.getini("servicectx_scope")
    scope = scope or os.environ.get("SERVICECTX_SCOPE") or ("project" if lingers else "")
    scope = (
        scope or os.environ.get("SERVICECTX_RUN_SCOPE") or "run"
    )  # pytest below `servicectx run` belongs to that run
    if scope == "run":
        scope = f"run-{run_id}"
    elif scope == "project":  # of the run, not of the current directory
        scope = f"project:{config.invocation_params.dir}"
    keep_data = bool(config.getoption("--servicectx-keep-data") or config.getini("servicectx_keep_data"))
    storage = config.getoption("--servicectx-storage") or config.getini("servicectx_storage") or None
    if storage not in (None, "memory", "disk"):  # relative to the start of the run, not to the current directory
        storage = str(config.invocation_params.dir / storage)
        if not os.path.isdir(storage):
            raise pytest.UsageError(f"servicectx storage: {storage} is not a directory; or write memory, or disk")
    keep_failed = bool(config.getoption("--servicectx-keep-failed") or config.getini("servicectx_keep_failed"))
    return Settings(scope, linger, keep_data, storage, keep_failed, address)


def _seconds(text: str) -> float | None:
    if not text:
        return None
    from servicectx import seconds as parsed

    try:
        return parsed(text)
    except ValueError as error:
        raise pytest.UsageError(f"servicectx linger: {error}") from None
