"""Fixtures: of built-in services, of other packages, of a project; and their cost for a run without services."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import servicectx_pytest
from servicectx_pytest._fixtures import STATIC

import servicectx
from tests.integrations.pytest_.projects import Project
from tests.integrations.runs import FINDS_PLUGINS

LEGACY = {"cockroach", "moto", "redis", "vault"}

SERVICE = """
    from servicectx.testing import FakeService

    class Mine(FakeService):
        name = "my-{0}"
"""


def test_built_in_services_have_their_names_without_an_import() -> None:
    code = "from servicectx.services.registry import BUILT_IN; print(*BUILT_IN)"
    built_in = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(built_in) | LEGACY == set(STATIC)
    for service in STATIC:
        assert hasattr(servicectx_pytest, f"managed_{service}")
        assert hasattr(servicectx_pytest, f"isolated_{service}")


def test_a_run_that_uses_no_service_imports_nothing(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_nothing="""
            import sys
            from servicectx_pytest._state import SERVICES

            def test_nothing(request):
                loaded = {name.partition(".")[0] for name in sys.modules}
                assert "servicectx_pytest" in loaded
                assert not loaded & {"pydantic", "filelock", "mirakuru"}
                # What tests may replace is copied before they run; nothing else of the library is loaded.
                loaded = {name for name in sys.modules if name.startswith("servicectx.")}
                assert loaded == {"servicectx.system", "servicectx.system.originals"}
                # The plugin's own modules are loaded: an import may fail after a test has replaced the file system.
                assert SERVICES not in request.config.stash
        """,
    )
    project.run("-p", "no:platformdirs", "-n0")
    project.run("-p", "no:platformdirs", "-n1")


def test_pytest_compiles_none_of_the_library_anew(tmp_path: Path) -> None:
    modules = {
        "test_library": """
        import sys

        def test_loaders(managed_redis):
            import servicectx.testing

            rewritten = {
                name
                for name, module in sys.modules.items()
                if name.startswith("servicectx.") and type(module.__loader__).__name__ == "AssertionRewritingHook"
            }
            assert "servicectx.testing" in rewritten
            assert {name for name in rewritten if not name.startswith("servicectx.testing")} == set()
            assert type(sys.modules["servicectx"].__loader__).__name__ == "SourceFileLoader"
        """
    }
    Project(tmp_path, **modules).run(status=0, **FINDS_PLUGINS)


def test_services_of_others(tmp_path: Path) -> None:
    """Services registered by the first conftest, by a deeper one, by the test module, and by an installed package."""
    project = Project(
        tmp_path,
        mine_first=SERVICE.format("first"),
        mine_deep=SERVICE.format("deep"),
        mine_late=SERVICE.format("late"),
        mine_packaged=SERVICE.format("packaged"),
        conftest="""
            import servicectx
            from mine_first import Mine

            servicectx.register(Mine)
        """,
        deep__conftest="""
            import servicectx
            from mine_deep import Mine

            servicectx.register(Mine)
        """,
        deep__test_deep="""
            import pytest
            import servicectx
            from mine_late import Mine

            servicectx.register(Mine)

            def test_names(managed_my_first, managed_my_deep, managed_my_late, managed_my_packaged):
                for details in (managed_my_first, managed_my_deep, managed_my_late, managed_my_packaged):
                    assert details.ask("PING").startswith("PONG")

            def test_by_name(request):
                assert request.getfixturevalue("managed_my_first").service == "my-first"

            def test_cannot(request):
                with pytest.raises(servicectx.NotIsolable, match="my-first"):
                    request.getfixturevalue("isolated_my_first")
        """,
    )
    packaged = tmp_path / "packaged-1.0.dist-info"
    packaged.mkdir()
    (packaged / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n")
    (packaged / "entry_points.txt").write_text("[servicectx.services]\nmy-packaged = mine_packaged:Mine\n")
    for way in ("-n0", "-n2"):
        run = project.run(way, PYTHONPATH=str(tmp_path))
        assert "3 passed" in run.output


def test_fixtures_of_ones_own(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        schema="""
            import psycopg

            def migrate(pg):
                with psycopg.connect(pg.url) as connection:
                    connection.execute("create table orders ()")

            def tables(pg):
                with psycopg.connect(pg.url) as connection:
                    found = connection.execute("select tablename from pg_tables where schemaname = 'public'")
                    return [name for name, in found]
        """,
        conftest="""
            import pytest
            from schema import migrate
            from servicectx.testing import FakeService
            from servicectx_pytest import service_fixture

            managed_postgres = service_fixture("postgres", setup=migrate)  # isolated_postgres belongs to this one, too
            shop = service_fixture("postgres", setup=migrate, dbname="shop", name="shop")
            shop_db = service_fixture("postgres", setup=migrate, dbname="shop", name="shop", isolated=True)
            fake = service_fixture(FakeService, label="one")
            sleeper = service_fixture("command", command=["{python}", "-m", "http.server", "{port}"])

            @pytest.fixture(scope="session")
            def by_hand(managed_service):
                return managed_service("redis", name="by hand", settings={"maxmemory": "64mb"})
        """,
        test_shop="""
            import redis
            import unittest
            import pytest
            from schema import tables

            def test_whole(managed_postgres, shop, fake):
                assert tables(managed_postgres) == tables(shop) == ["orders"]
                assert managed_postgres.port != shop.port
                assert shop.dbname == "shop"
                assert fake.ask("PING").startswith("PONG")

            def test_part(isolated_postgres, managed_postgres, shop_db, shop):
                assert tables(isolated_postgres) == tables(shop_db) == ["orders"]
                assert isolated_postgres.port == managed_postgres.port
                assert isolated_postgres.dbname != managed_postgres.dbname
                assert shop_db.port == shop.port

            def test_factory(by_hand, managed_service):
                assert managed_service("redis", name="by hand", settings={"maxmemory": "64mb"}) is by_hand
                with redis.Redis.from_url(by_hand.url) as client:
                    assert client.config_get("maxmemory") == {"maxmemory": str(64 * 2**20)}

            @pytest.mark.usefixtures("managed_redis")
            class TestOld(unittest.TestCase):
                def test_old(self):
                    pass
        """,
    )
    (tmp_path / "conftest.py").write_text((tmp_path / "conftest.py").read_text().replace("{python}", sys.executable))
    run = project.run()
    assert "4 passed" in run.output


WIDTHS = {
    "widths": """
        from journal import migrate
        from servicectx_pytest import service_fixture

        def of(width):
            return service_fixture("postgres", setup=migrate, isolated=True, fixture_scope=width)
    """,
    "conftest": """
        from widths import of

        of_function, of_class, of_module, of_session = map(of, ["function", "class", "module", "session"])
    """,
    # The package of a fixture is the package of its conftest.
    **dict.fromkeys(["one__conftest", "two__conftest"], "from widths import of\nof_package = of('package')"),
    **dict.fromkeys(["one____init__", "two____init__"], ""),
    **dict.fromkeys(
        ["one__test_a", "one__test_b", "two__test_c"],
        """
        from journal import note, write_a_note

        def use(request):
            for width in ("function", "class", "module", "package", "session"):
                details = request.getfixturevalue(f"of_{width}")
                note("use", details, width=width, database=details.dbname, number=write_a_note(details))

        class TestOne:
            def test_one(self, request):
                use(request)

            def test_two(self, request):
                use(request)

        class TestTwo:
            def test_three(self, request):
                use(request)
        """,
    ),
}


@pytest.mark.parametrize("way", ["alone", "workers"])
def test_a_namespace_for_each_test_class_module_package_or_session(tmp_path: Path, way: str) -> None:
    run = Project(tmp_path, **WIDTHS).run(*(("-n2", "--dist", "loadfile") if way == "workers" else ()))
    assert "9 passed" in run.output
    used = run.notes("use")
    assert len({note["instance"] for note in used}) == 1
    for width, count, most in (("function", 9, 1), ("class", 6, 2), ("module", 3, 3), ("package", 2, 6)):
        numbers: dict[str, list[int]] = {}
        for note in used:
            if note["width"] == width:
                numbers.setdefault(note["database"], []).append(note["number"])
        # The two modules of a package may have gone to two workers.
        assert len(numbers) == count or (width == "package" and way == "workers")
        assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
        assert max(map(len, numbers.values())) == most or (width == "package" and way == "workers")
    sessions = {note["pid"]: note["database"] for note in used if note["width"] == "session"}
    assert len(sessions) == (2 if way == "workers" else 1)
    assert len(set(sessions.values())) == len(sessions)


@pytest.mark.parametrize("way", ["alone", "workers"])
def test_a_service_of_its_own_for_each_test_or_module(tmp_path: Path, way: str) -> None:
    test = """
        from helping import server
        from journal import note
        from servicectx.client import inventory

        def use(of_run, of_module, of_test):
            for name, details in (("run", of_run), ("module", of_module), ("test", of_test)):
                note("use", name=name, module=__name__, server=server(details))
            note("up", names=[entry.state.name for entry in inventory.running()])

        def test_one(of_run, of_module, of_test):
            use(of_run, of_module, of_test)

        def test_two(of_run, of_module, of_test):
            use(of_run, of_module, of_test)
            assert len(inventory.running()) >= 3
    """
    conftest = """
        from servicectx_pytest import service_fixture

        of_run = service_fixture("redis", name="run")
        of_module = service_fixture("redis", name="module", scope="private", fixture_scope="module")
        of_test = service_fixture("redis", name="test", scope="private", fixture_scope="function")
    """
    run = Project(tmp_path, conftest=conftest, test_a=test, test_b=test).run(
        *(("-n2", "--dist", "loadfile") if way == "workers" else ())
    )
    assert "4 passed" in run.output
    assert run.output.count("redis 'module': started") == 1  # one line of the summary
    servers: dict[str, set[int]] = {}
    for note in run.notes("use"):
        servers.setdefault(note["name"], set()).add(note["server"])
    assert {name: len(found) for name, found in servers.items()} == {"run": 1, "module": 2, "test": 4}
    if way == "alone":
        assert all(sorted(note["names"]) == ["module", "run", "test"] for note in run.notes("up"))


def test_a_service_of_a_test_that_cannot_start(tmp_path: Path) -> None:
    modules = {
        "conftest": """
            from servicectx_pytest import service_fixture

            broken = service_fixture("redis", settings={"maxmemory": "a lot"}, fixture_scope="function")
        """,
        "test_broken": "def test_one(broken): pass\ndef test_two(broken): pass",
    }
    run = Project(tmp_path, **modules).run(status=1)
    assert "2 errors" in run.output
    assert "redis: failed with StartFailed" in run.output


def test_the_factory_refuses_a_scope_of_pytest(tmp_path: Path) -> None:
    run = Project(tmp_path, test_it='def test_it(managed_service): managed_service("redis", scope="session")').run(
        status=1
    )
    assert "managed_service(scope='session'): 'session' is a scope of pytest" in run.output
    assert "a service of this factory is left at the end of the run" in run.output


def test_the_names_that_users_of_managed_service_fixtures_know(tmp_path: Path) -> None:
    known = servicectx.service_names()
    project = Project(
        tmp_path,
        shop="""
            async def app(scope, receive, send):
                assert scope["type"] == "http"
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"hello"})
        """,
        test_names="""
            import httpx
            import pytest
            from servicectx import UnknownService, service_names

            @pytest.mark.parametrize("name", ["vault", "moto", "cockroach"])
            def test_services(request, name):
                if name not in service_names():
                    with pytest.raises(UnknownService, match=f"no service is called '{name}'"):
                        request.getfixturevalue(f"managed_{name}")

            def test_redis(managed_redis):
                assert managed_redis.url.startswith("redis://")

            @pytest.mark.parametrize("location", ["shop:app", None])
            def test_app(managed_asgi_app_factory, monkeypatch, location):
                monkeypatch.setenv("TEST_APP_LOCATION", "shop:app")
                with managed_asgi_app_factory(location) as app:
                    assert httpx.get(f"{app.url}/greeting", trust_env=False).text == "hello"
        """,
    )
    assert "redis" in known
    assert "6 passed" in project.run().output


@pytest.mark.parametrize("way", ["option", "conftest", "both"])
def test_without_autoload(tmp_path: Path, way: str) -> None:
    modules = {"test_cache": "def test_cache(managed_redis): pass"}
    if way != "option":
        modules["conftest"] = 'pytest_plugins = ["servicectx_pytest"]'
    words = ["-p", "servicectx_pytest"] if way != "conftest" else []
    environment: Any = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if way != "both" else {}
    assert "1 passed" in Project(tmp_path, **modules).run(*words, **environment).output


def test_the_plugin_can_be_left_out(tmp_path: Path) -> None:
    run = Project(tmp_path, test_cache="def test_cache(managed_redis): pass").run(
        "-p", "no:servicectx_pytest", status=1, **FINDS_PLUGINS
    )
    assert "fixture 'managed_redis' not found" in run.output


def test_the_fixtures_are_listed(tmp_path: Path) -> None:
    run = Project(tmp_path, test_cache="").run("--fixtures")
    assert "managed_redis [session scope]" in run.output
    assert "A running redis, shared by the whole run: its details." in run.output
    assert "isolated_postgres" in run.output
    assert os.environ["SERVICECTX_HOME"]
