"""Each cell of docs/services/choices.md: an option that a row of the conformance table tests, or a refusal."""

import re
from pathlib import Path
from typing import Any

import pytest

from servicectx import InvalidOption, managed
from servicectx.services import registry
from servicectx.services.options import option_names
from tests.services import choices, table

EXAMPLES: dict[str, Any] = {
    "user": "ada",
    "password": "hush",
    "password=None": None,
    "dbname": "shop",
    "socket": True,
    "version": ">=1",
    "flavour": "other",
}
CELLS = [(service.name, choice) for service in choices.services() for choice in choices.CHOICES]
NOT_POSSIBLE = [cell for cell in CELLS if cell[1] != "ports" and choices.reason(registry.find(cell[0]), cell[1])]
TESTED = {service: [row for row in table.rows() if row.service == service] for service, _ in CELLS}
# Logins that a test of the service chooses, because no row can: the server of the row is another one.
OWN_TESTS = {("kafka", "user"), ("kafka", "password"), ("moto", "dbname"), ("s3", "dbname")}


def possible(choice: str) -> list[str]:
    return [service for service, cell in CELLS if cell == choice and not choices.reason(registry.find(service), choice)]


@pytest.mark.parametrize("choice", choices.CHOICES)
def test_each_service_has_an_option_or_a_reason(choice: str) -> None:
    neither = [
        service.name
        for service in choices.services()
        if not choices.options(service, choice) and not choices.reason(service, choice)
    ]
    assert not neither, f"give these an option, or write {choice!r} into Service.not_possible: {neither}"


@pytest.mark.parametrize("choice", ["user", "password", "password=None", "dbname", "socket"])
def test_each_option_has_its_row(choice: str) -> None:
    """`test_address` starts each row with these options, and uses it by a real client."""
    for service in possible(choice):
        if not TESTED[service] or (service, choice) in OWN_TESTS:  # no server runs here: a stand-in is tested
            continue
        names, none = choices.options(registry.find(service), choice), choice == "password=None"
        if choice == "socket":
            assert any(row.socket for row in TESTED[service]), service
        else:
            logins = [login.options for row in TESTED[service] for login in row.logins]
            assert any(name in login and (login[name] is None) == none for login in logins for name in names), (
                f"{service}: give a row a login with {names}"
            )


@pytest.mark.parametrize(("service", "choice"), NOT_POSSIBLE)
def test_what_is_not_possible_is_an_error_with_the_reason(service: str, choice: str) -> None:
    found = registry.find(service)
    known = [name for name in choices.CHOICES[choice] if name in option_names(found.Options)]
    option = next(iter(known), choice.removesuffix("=None"))

    def choose() -> None:
        """As a start does, up to its first look at the server."""
        found.plan(found.options({option: EXAMPLES[choice]}), "/bin/true", "secret")

    with pytest.raises(InvalidOption, match=re.escape(choices.reason(found, choice) or "")) as refused:
        choose()
    assert refused.value.option == option


def test_a_further_port_of_a_server_with_one_port(home: Path) -> None:
    with pytest.raises(InvalidOption, match="it has no further ports, only port="):
        managed("redis", ports={"further": 1024}).__enter__()
