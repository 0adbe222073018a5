"""Every service of the table, with its real server and usual client, as this user and as an ordinary user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servicectx import managed, managed_all, service_names
from tests import ordinary
from tests.services import table
from tests.services.row import Row

ROWS = pytest.mark.parametrize("row", table.rows(), ids=str)


@ROWS
@pytest.mark.timeout(300)
def test_it_keeps_its_promises(row: Row) -> None:
    table.require(str(row))
    table.check(row)


@ROWS
@pytest.mark.timeout(300)
def test_an_ordinary_user_uses_it(row: Row, ordinary_user: ordinary.User) -> None:
    table.require(str(row))
    done = ordinary_user.run(f"from tests.services.table import use; use({str(row)!r})", wait=250)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
def test_all_of_them_start_at_once_and_leave_nothing() -> None:
    rows = {row.service: row for row in table.rows() if table.there(row)}
    assert {"postgres", "redis"} <= set(rows)
    with managed_all(*(managed(row.service, timeout=200, **row.options) for row in rows.values())) as services:
        assert [details.service for details in services] == list(rows)
        used = [(details, usage) for details in services if (usage := table.usage(details.service))]
        for details, usage in used:
            usage.put(details, "colour", details.service)
        assert [usage.get(details, "colour") for details, usage in used] == [row.service for row, _ in used]


def test_every_service_has_its_line() -> None:
    here = {row.service for row in table.rows()}
    assert here | set(table.not_run_here()) == set(service_names())
    assert not here & set(table.not_run_here())


HIDE = """
from servicectx.services.memcached.service import Memcached

Memcached.search = Memcached.search._replace(programs=("no-such-server",))
"""


@pytest.mark.parametrize(("required", "expected"), [(False, "1 skipped"), (True, "memcached")])
def test_a_missing_server_is_a_failure_where_servers_are_required(
    required: bool, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "hide.py").write_text(HIDE)
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)} | ({"SERVICECTX_REQUIRE_SERVERS": "1"} if required else {})
    one = "tests/services/test_memcached.py::test_the_version_is_told"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "hide", one],
        cwd=Path(__file__).parents[2],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout, done.stdout
    assert (done.returncode != 0) == ("BinaryNotFound" in done.stdout) == required
