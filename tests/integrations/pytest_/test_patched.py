"""Tests that replace parts of the standard library: services work, and a failing test is reported."""

from pathlib import Path

import pytest

from tests.integrations.pytest_.projects import Project

# Name of the replaced function, and the statement that replaces it.
REPLACED = {
    "socket": "monkeypatch.setattr('socket.socket', forbidden)",
    "connection": "monkeypatch.setattr('socket.create_connection', forbidden)",
    "builtins.open": "monkeypatch.setattr('builtins.open', forbidden)",
    "io.open": "monkeypatch.setattr('io.open', forbidden)",
    "os.open": "monkeypatch.setattr('os.open', forbidden)",
    "os.listdir": "monkeypatch.setattr('os.listdir', forbidden)",
    "json": "monkeypatch.setattr('json.loads', forbidden); monkeypatch.setattr('json.dumps', forbidden)",
    "time": "monkeypatch.setattr('time.monotonic', lambda: 1.0); monkeypatch.setattr('time.sleep', forbidden)",
    "select": "monkeypatch.setattr('select.select', forbidden); monkeypatch.setattr('select.poll', forbidden)",
    "Path.open": "monkeypatch.setattr('pathlib.Path.open', forbidden)",
    "Path.exists": "monkeypatch.setattr('pathlib.Path.exists', lambda self: True)",
    "Path.read_text": "monkeypatch.setattr('pathlib.Path.read_text', forbidden)",
    "mock": "mocker.patch('builtins.open', mocker.mock_open(read_data='nothing')); mocker.patch('json.loads')",
    "os.environ": "monkeypatch.setattr('os.environ', {'PATH': '/nowhere'})",
}

SERVED = ("socket", "connection", "builtins.open", "json", "time", "select", "mock")


def test_a_failing_test_that_has_replaced_something_is_reported_and_the_run_goes_on(tmp_path: Path) -> None:
    tests = "\n".join(
        f"""
@pytest.fixture
def replaced_{number}(managed_redis, monkeypatch, mocker):
    {line}

def test_{number}(replaced_{number}):
    raise LookupError("the test's own failure")
"""
        for number, line in enumerate(REPLACED.values())
    )
    project = Project(
        tmp_path,
        test_replaced=f"""
import pytest

def forbidden(*arguments, **options):
    pytest.fail("forbidden")  # raises a BaseException, as plugins of pytest do for forbidden calls
{tests}
def test_after_all(managed_redis):
    assert managed_redis.port
""",
    )
    for way in ("-n0", "-n2"):
        run = project.run(way, "-p", "pytest_mock", "--tb=line", status=1)
        assert f"{len(REPLACED)} failed, 1 passed" in run.output, run.output
        assert "it died" not in run.output


def test_a_service_starts_and_isolates_where_the_standard_library_is_replaced(tmp_path: Path) -> None:
    tests = "\n".join(
        f"""
def test_{number}(monkeypatch, mocker):
    {REPLACED[name]}
    with managed("redis", name="r{number}") as redis, managed("redis", name="r{number}"), isolated(redis) as mine:
        assert mine.url != redis.url
    with managed("postgres") as postgres, isolated(postgres) as mine:
        assert mine.url != postgres.url
    monkeypatch.undo()
"""
        for number, name in enumerate(SERVED)
    )
    Project(
        tmp_path,
        test_replaced=f"""
from servicectx import isolated, managed

def forbidden(*arguments, **options):
    raise RuntimeError("forbidden")
{tests}
""",
    ).run("-p", "pytest_mock")


@pytest.mark.parametrize("words", ["--disable-socket", "--allow-hosts=192.0.2.1", "--disable-socket -n2"])
def test_sockets_are_forbidden(tmp_path: Path, words: str) -> None:
    project = Project(
        tmp_path,
        test_sockets="""
        import socket
        import pytest

        def test_fixtures(managed_postgres, isolated_postgres, isolated_redis, managed_moto):
            with pytest.raises(RuntimeError):
                socket.create_connection((isolated_redis.host, isolated_redis.port))

        def test_joins(managed_service, isolated_redis):
            managed_service("redis", name="other")
            assert False, "the test's own failure"
        """,
    )
    run = project.run("-p", "socket", *words.split(), "-W", "ignore::UserWarning", status=1)
    assert "1 failed, 1 passed" in run.output, run.output
    assert "is missing here" not in run.output


FROZEN = {
    "freezegun": ("from freezegun import freeze_time", "freeze_time('2001-01-01')"),
    "time-machine": ("import time_machine", "time_machine.travel('2091-01-01', tick=False)"),
}


@pytest.mark.parametrize("tool", FROZEN)
def test_the_clock_is_frozen(tmp_path: Path, tool: str) -> None:
    imported, frozen = FROZEN[tool]
    project = Project(
        tmp_path,
        test_frozen=f"""
        import time
        import pytest
        {imported}
        from servicectx import StartTimeout, isolated, managed

        @pytest.fixture
        def frozen():
            with {frozen}:
                yield

        def test_fixtures(frozen, isolated_postgres, isolated_redis):
            with managed("redis", name="mine") as redis, managed("redis", name="mine"), isolated(redis):
                before = time.time()
                assert time.time() == before

        def test_a_start_that_never_ends_is_given_up(frozen):
            with pytest.raises(StartTimeout), managed("command", command=["sleep", "{{port}}"], timeout=1):
                pass

        def test_fails(frozen, isolated_redis):
            assert False
        """,
    )
    run = project.run("-p", "no:freezer", status=1)
    assert "1 failed, 2 passed" in run.output, run.output
    assert "is missing here" not in run.output


def test_a_lock_that_is_held_is_given_up_in_frozen_time(tmp_path: Path) -> None:
    Project(
        tmp_path,
        test_frozen="""
        import time
        from pathlib import Path
        from freezegun import freeze_time
        from servicectx.state.instance import Instance

        def test_lock(tmp_path):
            one, other = Instance(tmp_path, "redis-0"), Instance(tmp_path, "redis-0")
            with one.locked() as held, freeze_time("2001-01-01"), other.locked(0.2) as second:
                assert held
                assert not second
        """,
    ).run("--timeout=20")


@pytest.mark.parametrize("way", ["-n0", "-n2"])
def test_all_files_are_fake(tmp_path: Path, way: str) -> None:
    project = Project(
        tmp_path,
        test_fake="""
        import os
        import pytest

        def test_fake_first(fs, isolated_redis):
            use(fs, isolated_redis)

        def test_fake_last(isolated_redis, fs):
            use(fs, isolated_redis)

        def test_asked_late(fs, request):
            use(fs, request.getfixturevalue("isolated_postgres"))

        def test_by_hand(fs):
            from servicectx import isolated, managed
            with managed("redis", name="mine") as redis, isolated(redis) as mine:
                use(fs, mine)

        def test_fails(fs, managed_redis):
            use(fs, managed_redis)
            assert False, "the test's own failure"

        def use(fs, details):
            fs.create_file("/home/me/notes", contents="mine")
            assert open("/home/me/notes").read() == "mine"
            assert os.listdir("/home") == ["me"]
            assert not os.path.exists("/usr/bin")
            assert details.port
        """,
    )
    run = project.run(way, "-p", "fakefs", "-W", "ignore::ResourceWarning", status=1)
    assert "1 failed, 4 passed" in run.output, run.output
    assert "is missing here" not in run.output
    assert "it died" not in run.output
