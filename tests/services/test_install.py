"""The install hints in errors: with pip, apt and brew, for every built-in service."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from servicectx import BinaryNotFound
from servicectx.cli.list import install_commands
from servicectx.services import registry
from servicectx.services.binaries import HOMEBREW, Search
from tests.services import table

TOOLS = {"pip": "pip install ", "apt": "apt-get install ", "brew": "brew install "}
NAMES = sorted({*registry.BUILT_IN} - {"command"})  # it runs any program
SERVICES = pytest.mark.parametrize("name", NAMES)


@SERVICES
def test_an_error_says_how_to_get_a_server_with_each_tool(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SERVICECTX_{name.upper()}_BIN", str(tmp_path))
    service = registry.find(name)
    options = next((row.options for row in table.rows() if row.service == name), {})
    with pytest.raises(BinaryNotFound) as caught:
        service.program(service.options(options))
    assert caught.value.install == service.install
    assert list(caught.value.install) == list(TOOLS)


@SERVICES
def test_each_is_a_command_or_says_what_else_helps(name: str) -> None:
    for tool, cure in registry.find(name).install.items():
        assert cure.startswith((TOOLS[tool], "not ")), cure
        assert not cure.startswith("not ") or re.search("; .*(https://|package|archive|pip|PATH)", cure), cure


@SERVICES
def test_what_homebrew_installs_is_looked_at(name: str) -> None:
    service = registry.find(name)
    command, _, remark = service.install["brew"].partition("  # ")
    if command.startswith("not ") or remark:
        assert not remark or re.match(f"(SERVICECTX_{name.upper()}_BIN|KAFKA_HOME): ", remark), remark
        return
    search: Search = getattr(service, "search")  # noqa: B009  # built-in services have one
    formula = command.removeprefix(TOOLS["brew"]).rpartition("/")[2]
    looked = [f"{base}/{formula}/bin" for formula in search.formulas for base in HOMEBREW] + list(search.trees)
    assert any(fnmatch(f"{HOMEBREW[0]}/{formula}/bin", pattern) for pattern in looked), formula


def test_commands_come_before_sentences() -> None:
    assert install_commands({"pip": "not on PyPI; look", "apt": "apt-get install x", "brew": "brew install x"}) == [
        "apt-get install x",
        "brew install x",
    ]
    assert install_commands({"pip": "not on PyPI; look", "apt": "not in Debian; look"}) == ["not on PyPI; look"]
    assert install_commands({}) == []
