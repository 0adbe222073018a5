"""The address and the login that a caller chooses, for every row of the conformance table, with real clients."""

import os
import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from servicectx import isolated, managed
from servicectx.services import registry
from tests import servers
from tests.services import table
from tests.services.row import Login, Row

PAGES = Path(__file__).parents[2] / "docs/services"
ROWS = pytest.mark.parametrize("row", table.rows(), ids=str)
LOGINS = [pytest.param(row, login, id=f"{row}-{login.name}") for row in table.rows() for login in row.logins]
SOCKETS = [pytest.param(row, id=str(row)) for row in table.rows() if row.socket]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_usage(service: str, details: Any) -> None:
    """Store and read a text with the usual client, if the service has one."""
    if usage := table.usage(service):
        usage.put(details, "colour", "green")
        assert usage.get(details, "colour") == "green"


def is_refused(service: str, details: Any) -> bool:
    """Whether the usual client cannot store a text with these details."""
    usage = table.usage(service)
    assert usage
    try:
        usage.put(details, "shape", "round")
    except Exception:  # each client has its own errors
        return True
    return False


@ROWS
@pytest.mark.timeout(300)
def test_it_starts_on_a_chosen_port(row: Row) -> None:
    table.require(str(row))
    port = free_port()
    with table.chosen(row), managed(row.service, port=port, timeout=100, **row.options) as details:
        assert details.port == port
        assert servers.listeners(port)
        check_usage(row.service, details)
    assert not servers.listeners(port)


@ROWS
def test_the_page_lists_the_further_ports(row: Row) -> None:
    table.require(str(row))
    service = registry.find(row.service)
    options = service.options(row.options)
    with table.chosen(row):
        plan = service.plan(options, service.program(options), "secret")
    page = (PAGES / f"{row.service}.md").read_text(encoding="utf-8")
    found = re.search("^Further ports, for `ports=`: (.*)", page, re.MULTILINE)
    listed = re.findall("`(.*?)`", found[1]) if found else []
    assert set(plan.ports.extra) <= set(listed)


@pytest.mark.parametrize(("row", "login"), LOGINS)
@pytest.mark.timeout(300)
def test_a_client_logs_in_with_the_chosen_login_only(row: Row, login: Login) -> None:
    table.require(str(row))
    options = {**row.options, **login.options}
    with table.chosen(row), managed(row.service, timeout=100, **options) as details:
        assert {name: getattr(details, name) for name in login.fields} == login.fields
        check_usage(row.service, details)
        for change in login.refused:
            assert is_refused(row.service, details.model_copy(update=change)), change
        with managed(row.service, timeout=100, **options) as joined:
            assert joined == details
        if text := login.options.get("password"):
            assert text not in repr(details)
            assert not [line for line in servers.command_lines() if text in line]
        check_namespace(details)


def check_namespace(details: Any) -> None:
    """A namespace has the same login."""
    from servicectx import NotIsolable

    try:
        with isolated(details) as mine:
            check_usage(details.service, mine)
    except NotIsolable:
        pass


@pytest.mark.parametrize("row", SOCKETS)
@pytest.mark.timeout(300)
def test_clients_use_its_unix_socket(row: Row) -> None:
    table.require(str(row))
    with table.chosen(row), managed(row.service, socket=True, timeout=100, **row.options) as details:
        assert stat.S_ISSOCK(os.stat(details.socket).st_mode)
        assert len(os.fsencode(details.socket)) < 100
        assert os.path.dirname(details.socket) in details.url.replace("%2F", "/")
        check_usage(row.service, details)
        check_namespace(details)
    assert not os.path.exists(details.socket)
