"""The table of docs/security.md matches the details of each service."""

import re
from pathlib import Path

import pytest

from servicectx.services import registry
from tests.services import accounts, choices

PAGE = Path(__file__).parents[2] / "docs/security.md"
SAID = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

# The details hold a key, because clients need one; the server accepts any key.
TAKES_EVERY_KEY = ("moto",)


def test_it_tells_of_every_service() -> None:
    assert sorted(SAID) == sorted(registry.BUILT_IN)


@pytest.mark.parametrize("name", sorted(SAID))
def test_who_can_use_it(name: str) -> None:
    """A service requires a password if the details of an instance have one."""
    service = registry.find(name)
    options = accounts.options_of(service)
    facts = {"host": "127.0.0.1", "port": 1, "pid": 1, "dir": "/d", "data": "/d/data"}
    facts |= {f"port_{more}": 1 for more in accounts.plan_of(service).ports.extra}
    told = service.details(options, facts, "s3cret")
    hidden = [told[field] for field in service.details_model().secrets | {"password", "token"} if told.get(field)]
    asks = bool(hidden) and name not in TAKES_EVERY_KEY
    assert SAID[name].startswith("holders of the " if asks else "every user of this machine"), hidden
    # A service that requires a login by default: the page names password=None exactly where it is possible.
    found = choices.options(service, "password=None")
    assert ("`password=None`" in SAID[name]) is (asks and bool(found))
    for option in found:
        without = service.details(accounts.options_of(service, **{option: None}), facts, "s3cret")
        assert not [field for field in ("user", "password", "token") if without.get(field)] or name in NAMES_A_USER


# The details without a password still have a name: these servers know every client by one.
NAMES_A_USER = ("mariadb", "postgres")
