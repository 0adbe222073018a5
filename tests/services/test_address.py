"""The address and the login that a caller chooses, for every row of the conformance table, with real clients."""

import os
import stat
from typing import Any

import pytest

from servicectx import isolated, managed
from servicectx.services import registry
from tests import servers
from tests.services import accounts, choices, sources, table
from tests.services.row import Login, Row

MORE_PORTS = {"temporal": {"ui": True}}  # options for further ports
ROWS = pytest.mark.parametrize("row", table.rows(), ids=str)
LOGINS = [pytest.param(row, login, id=f"{row}-{login.name}") for row in table.rows() for login in row.logins]
SOCKETS = [pytest.param(row, id=str(row)) for row in table.rows() if row.socket]


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
def test_it_starts_on_the_chosen_ports(row: Row) -> None:
    """The port of the service, and all further ones, which a restart keeps."""
    table.require(str(row))
    options = {**row.options, **MORE_PORTS.get(row.service, {})}
    with table.chosen(row):
        service = registry.find(row.service)
        parsed = service.options(options)
        names = service.plan(parsed, service.program(parsed), "secret").ports.extra
        numbers = servers.free_ports(1 + len(names))
        ports = dict(zip(names, numbers[1:], strict=True))
        running = managed(row.service, port=numbers[0], ports=ports, timeout=100, **options)
        with running as details:
            assert details.port == numbers[0]
            assert [port for port in numbers if not servers.listens_on_loopback_only(port)] == []
            check_usage(row.service, details)
            if names:
                running.restart(empty=row.service == "rabbitmq")  # without keep_data its data does not stay
                assert [port for port in numbers if not servers.listens_on_loopback_only(port)] == []
    assert not any(map(servers.listeners, numbers))


@pytest.mark.parametrize("service", choices.services(), ids=lambda service: service.name)
def test_the_page_lists_the_further_ports(service: Any) -> None:
    options = MORE_PORTS.get(service.name, {})
    programs: list[str | None] = [*sources.programs(service)] or [None]
    plans = [accounts.plan_of(service, program, **options) for program in programs]
    assert {name for plan in plans for name in plan.ports.extra} == set(choices.further_ports(service))


@pytest.mark.parametrize(("row", "login"), LOGINS)
@pytest.mark.timeout(300)
def test_a_client_logs_in_with_the_chosen_login_only(row: Row, login: Login) -> None:
    table.require(str(row))
    options = {**row.options, **login.options}
    with table.chosen(row), managed(row.service, timeout=100, **options) as details:
        if login.name == "no-password":  # then the loopback interface is the protection
            addresses = servers.listening(servers.owner(details.port))
            assert details.port in {port for _, port in addresses}
            assert {host for host, _ in addresses} <= {"127.0.0.1", "::1"}
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
