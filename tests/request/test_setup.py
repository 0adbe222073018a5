"""The set-up runs once for each instance, before other users join; on failure all of them get the same error."""

import asyncio
import functools
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicectx import PostgresDetails, ServiceCtxError, SetupFailed, managed
from servicectx.request.key import setup_text
from servicectx.request.setup import called, labels
from servicectx.testing import FakeDetails, FakeService, alembic_setup, django_setup
from tests import leftovers, servers

ROOT = Path(__file__).parents[2]


def count(fake: FakeDetails) -> None:
    """A slow set-up that counts its runs."""
    before = fake.ask("GET runs") or "0"
    threading.Event().wait(0.2)
    fake.ask(f"SET runs {int(before) + 1}")


def fail(fake: FakeDetails) -> None:
    raise LookupError("there is no such table")


# -- once --------------------------------------------------------------------------------------------------------

USER = """\
import sys
from servicectx import ServiceCtxError, managed
from servicectx.testing import FakeService
from tests.request import test_setup
print("ready", flush=True)
sys.stdin.readline()
try:
    with managed(FakeService, setup=getattr(test_setup, sys.argv[1])) as fake:
        print(fake.ask("GET runs"), flush=True)
        sys.stdin.readline()
except ServiceCtxError as error:
    print(type(error).__name__, error.data, flush=True)
"""


def several(number: int, setup: str) -> list[str]:
    """The output of `number` processes that enter at the same moment."""
    users = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", USER, setup],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    outputs = []
    for user in users:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
    for user in users:
        assert user.stdin is not None
        user.stdin.write("\n")
        user.stdin.flush()
    for user in users:
        assert user.stdout is not None
        outputs.append(user.stdout.readline().strip())
    for user in users:
        user.communicate("\n", timeout=30)
    return outputs


def test_it_runs_once_for_several_processes(home: Path) -> None:
    assert several(5, "count") == ["1"] * 5
    assert leftovers.wait_for_none(home, 2) == []


def test_it_runs_once_for_several_threads() -> None:
    barrier = threading.Barrier(6)

    def use(_: int) -> str:
        with managed(FakeService, setup=count) as fake:
            runs = fake.ask("GET runs")
            barrier.wait(30)
            return runs

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(use, range(6))) == ["1"] * 6


def test_it_runs_again_for_the_next_instance() -> None:
    lease = managed(FakeService, setup=count)
    for _ in range(2):
        with lease as fake, managed(FakeService, setup=count) as joined:
            assert joined == fake
            assert fake.ask("GET runs") == "1"


def test_without_it_another_instance_is_meant() -> None:
    with managed(FakeService) as plain, managed(FakeService, setup=count) as filled:
        assert plain.port != filled.port
        assert (plain.ask("GET runs"), filled.ask("GET runs")) == ("", "1")


def test_it_may_be_asynchronous() -> None:
    async def fill(fake: FakeDetails) -> None:
        await asyncio.sleep(0.01)
        await asyncio.to_thread(fake.ask, "SET a 1")

    with managed(FakeService, setup=fill) as fake:
        assert fake.ask("GET a") == "1"

    async def use() -> str:
        async with managed(FakeService, setup=fill) as fake:
            return await asyncio.to_thread(fake.ask, "GET a")

    assert asyncio.run(use()) == "1"


def test_it_may_be_any_callable() -> None:
    class Fill:
        def __call__(self, fake: FakeDetails) -> None:
            fake.ask("SET a object")

    def fill(value: str, fake: FakeDetails) -> None:
        fake.ask(f"SET a {value}")

    for setup, value in [(Fill(), "object"), (functools.partial(fill, "part"), "part")]:
        with managed(FakeService, setup=setup) as fake:
            assert fake.ask("GET a") == value


def test_it_may_use_other_services() -> None:
    def copy(fake: FakeDetails) -> None:
        with managed(FakeService, name="source") as source:
            fake.ask(f"SET a {source.ask('SET a from the source')}")

    with managed(FakeService, setup=copy) as fake:
        assert fake.ask("GET a") == "from the source"


# -- failing -----------------------------------------------------------------------------------------------------


def test_its_error_is_the_cause(home: Path) -> None:
    with pytest.raises(SetupFailed) as caught, managed(FakeService, name="orders", setup=fail):
        pass
    error = caught.value
    assert isinstance(error.__cause__, LookupError)
    assert (error.service, error.name) == ("fake", "orders")
    assert error.setup == "tests.request.test_setup:fail"
    assert error.problem == "LookupError: there is no such table"
    assert 'raise LookupError("there is no such table")' in str(error.traceback)
    assert "test_setup.py" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert leftovers.wait_for_none(home, 2) == []


def test_all_that_waited_hear_the_same(home: Path) -> None:
    outputs = several(5, "fail")
    assert len(set(outputs)) == 1
    assert outputs[0].startswith("SetupFailed ")
    assert "there is no such table" in outputs[0]
    assert leftovers.wait_for_none(home, 2) == []


def test_the_next_one_tries_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    def fail_once(fake: FakeDetails) -> None:
        if not runs.exists():
            runs.touch()
            raise LookupError("not yet")
        fake.ask("SET a 1")

    lease = managed(FakeService, setup=fail_once)
    with pytest.raises(SetupFailed, match="not yet"), lease:
        pass
    with lease as fake:
        assert fake.ask("GET a") == "1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_failure_of_the_set_up(error: type[BaseException], home: Path) -> None:
    def interrupted(fake: FakeDetails) -> None:
        raise error

    with pytest.raises(error), managed(FakeService, setup=interrupted):
        pass
    assert leftovers.wait_for_none(home, 2) == []


def test_a_service_that_dies_meanwhile_is_not_given_out(home: Path) -> None:
    def kill(fake: FakeDetails) -> None:
        server = servers.owner(fake.port)
        fake.ask("EXIT 3")
        server.wait(5)

    with pytest.raises(ServiceCtxError), managed(FakeService, setup=kill):
        pass
    assert leftovers.wait_for_none(home, 2) == []


def test_what_it_had_made_is_gone_after_it_failed() -> None:
    def half(fake: FakeDetails) -> None:
        if fake.ask("GET a"):
            raise AssertionError("this instance was used before")
        fake.ask("SET a half")
        raise LookupError

    for _ in range(3):
        with pytest.raises(SetupFailed, match="LookupError"):
            managed(FakeService, setup=half).__enter__()


# -- files -------------------------------------------------------------------------------------------------------


def rows(postgres: PostgresDetails, sql: Any) -> list[Any]:
    with psycopg.connect(postgres.url) as connection:
        return [row[0] for row in connection.execute(sql)]


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.sql"
    path.write_text("create table notes (text text);\ninsert into notes values ('Grüße');\n")
    return path


def test_sql_files_run_in_order(schema: Path, tmp_path: Path) -> None:
    extra = tmp_path / "more.sql"
    extra.write_text(
        "insert into notes select 'more' from notes;\n\\set who psql\ninsert into notes values (:'who');\n"
    )
    with managed("postgres", setup=[schema, str(extra)], dbname="shop") as postgres:
        assert rows(postgres, "select text from notes") == ["Grüße", "more", "psql"]


@pytest.mark.parametrize("as_text", [True, False])
def test_one_file_needs_no_list(as_text: bool, schema: Path) -> None:
    with managed("postgres", setup=str(schema) if as_text else schema) as postgres:
        assert rows(postgres, "select text from notes") == ["Grüße"]


def test_the_content_of_the_files_is_part_of_the_key(schema: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sql"
    copy.write_bytes(schema.read_bytes())
    with managed("postgres", setup=schema) as first:
        with managed("postgres", setup=copy) as same:
            assert same == first
        copy.write_text("select 1;\n")
        with managed("postgres", setup=copy) as other:
            assert other.port != first.port


@pytest.mark.parametrize(
    "include",
    [
        *("\\i tables.sql", "\\ir tables.sql", "\\include 'tables.sql';", "\\include_relative tables.sql"),
        *("select 1; \\i tables.sql", "\\copy notes from 'tables.sql'", "source tables.sql", "\\. tables.sql"),
        *("\\ir middle.sql", "\\i ~/tables.sql"),
    ],
)
def test_files_that_a_file_takes_in_count_too(include: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    identities = []
    (tmp_path / "schema.sql").write_text(f"-- first\n{include}\n\\i schema.sql\n\\i :variable\n")
    (tmp_path / "middle.sql").write_text("\\ir tables.sql\n")
    for content in ("", "create table one ();", "create table two ();", "create table one ();"):
        (tmp_path / "tables.sql").write_text(content)
        identities.append(setup_text("schema.sql", [tmp_path / "schema.sql"]))
    assert len(set(identities)) == 3
    assert identities[1] == identities[3]


def test_a_change_of_an_included_file_is_seen(schema: Path) -> None:
    whole = schema.parent / "whole.sql"
    whole.write_text("\\ir schema.sql\n")
    with managed("postgres", setup=whole) as first:
        assert rows(first, "select text from notes") == ["Grüße"]
        schema.write_text("create table notes (text text);\n")
        with managed("postgres", setup=whole) as second:
            assert rows(second, "select text from notes") == []


def test_a_relative_file_is_meant_from_here(schema: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(schema.parent)
    with managed("postgres", setup="schema.sql") as postgres:
        assert rows(postgres, "select text from notes") == ["Grüße"]


def test_a_bad_file_says_where_it_is_bad(tmp_path: Path, home: Path) -> None:
    bad = tmp_path / "bad.sql"
    bad.write_text("create table good (n int);\ncreate tabel bad (n int);\n")
    with pytest.raises(SetupFailed) as caught, managed("postgres", setup=bad):
        pass
    assert caught.value.setup == str(bad)
    assert "bad.sql:2" in caught.value.problem
    assert 'syntax error at or near "tabel"' in caught.value.problem
    assert leftovers.wait_for_none(home, 2) == []


def test_the_user_s_own_settings_for_psql_do_not_matter(
    schema: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".psqlrc").write_text("drop table notes;\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    with managed("postgres", setup=schema) as postgres:
        monkeypatch.delenv("PGSSLMODE")
        assert rows(postgres, "select text from notes") == ["Grüße"]


def test_migrations_are_shown_with_their_settings() -> None:
    steps = [django_setup("project.settings"), alembic_setup("db/alembic.ini", "1a2b"), count]
    texts = [
        "Django's migrations (project.settings)",
        "Alembic's upgrade to 1a2b (db/alembic.ini)",
        "tests.request.test_setup:count",
    ]
    assert [text for step in steps for text in labels(step, None)] == texts
    assert [called(step, None) for step in steps] == texts
