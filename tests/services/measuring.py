"""Measure how long services take to start here: a figure and a server for each row of the conformance table."""

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from servicectx import managed
from servicectx.services import python_servers, registry
from tests.services import table
from tests.services.row import Row

STARTS = 5


def measure(services: list[str]) -> dict[str, Any]:
    """Start these services, or every one, where they are installed here. Measure each start in milliseconds."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="sctx-", dir=os.environ.get("TMPDIR", "/dev/shm")) as place:
        Path(place).chmod(0o711)
        os.environ["SERVICECTX_HOME"] = place
        for row in filter(table.there, table.rows()):
            if services and row.service not in services:
                continue
            with table.chosen(row):
                took, reported = [], None
                for _ in range(STARTS + 1):
                    one = managed(row.service, scope="private", **row.options)
                    with one as details:
                        reported = getattr(details, "version", None)
                    took.append(one.took * 1000)
                found[str(row)] = {"version": version(row) or reported, "ms": round(statistics.median(took[1:]))}
            print(row, found[str(row)], flush=True)
    return {"machine": f"{os.cpu_count()} cores", "rows": found}


def version(row: Row) -> str | None:
    """The version of the row's chosen program, as in `servicectx list`."""
    if not row.binary:
        return None
    service = registry.find(row.service)
    program = service.program(service.options(row.options))
    if program == sys.executable and "server" in row.options:  # one Python runs several servers
        return python_servers.version(program, (row.options["server"],))
    return service.version(program)
