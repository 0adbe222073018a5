"""Probes of `test_restart_readiness`, which a keeper imports."""

from pathlib import Path
from typing import Any

from servicectx.keeper import probes


def first_run_only(host: str, port: int, wait: float, place: str, **_: Any) -> dict[str, Any] | None:
    """Answer for the first run of a server; raise in each further one."""
    if Path(place).exists():
        raise LookupError("no such thing here")
    if probes.run_probe({"kind": "tcp"}, host, port, wait=wait) is None:
        return None
    Path(place).touch()
    return {}


def refuse(*_: Any, **__: Any) -> None:
    raise LookupError("no such data here")
