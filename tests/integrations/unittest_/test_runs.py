"""unittest test cases under every runner: one server, one set-up, nothing left, and no warning."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.detector import wait_for
from tests.integrations.runs import GONE, Run, copy, instances, services_left

SAMPLE = Path(__file__).with_name("sample")
TESTS = 8

RUNNERS = {
    "unittest": "python -W error -m unittest",
    "unittest-parallel": "unittest-parallel -j 2",
    "unittest-parallel, classes": "unittest-parallel -j 2 --level class",
    "nose2": "nose2",
    "nose2, processes": "nose2 --plugin nose2.plugins.mp -N 2",
    "pytest": "pytest -p no:asyncio -W error",
    "pytest, workers": "pytest -p no:asyncio -W error -n 2",
}


@pytest.fixture
def project(place: Path) -> Path:
    return copy(SAMPLE, place / "project")


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_runner(project: Path, runner: str) -> None:
    run = Run(project, RUNNERS[runner]).passes()
    assert re.search(rf"Ran {TESTS} tests|{TESTS} passed", run.output), run.output
    tests = run.notes("test")
    assert len(tests) == 7
    assert len(instances(tests + run.notes("set-up"), "postgres")) == len(run.notes("set-up")) == 1, (
        run.journal.read_text()
    )


def test_a_process_for_each_module_needs_linger(project: Path) -> None:
    run = Run(project, "unittest-parallel -j 2 --disable-process-pooling", SERVICECTX_LINGER="6").passes(gone=9)
    assert len(instances(run.notes("test"), "postgres")) == len(run.notes("set-up")) == 1


def test_threads_share_run_contexts(project: Path) -> None:
    """Module contexts are not tested: the first finished module would run the clean-ups of all modules."""
    run = Run(project, "unittest-parallel -j 2 --thread -p test_[do]*.py").passes()
    assert len(instances(run.notes("test"), "postgres")) == len(run.notes("set-up")) == 1


def test_a_test_class_alone_and_a_test_alone(project: Path) -> None:
    for name in ("test_declared.TestOne", "test_declared.TestAsync.test_async"):
        run = Run(project, f"python -W error -m unittest {name}").passes()
        assert len(run.notes("set-up")) == 1


def test_discovery_starts_nothing(project: Path) -> None:
    for command in ("pytest -p no:asyncio --collect-only -q", "python -m unittest -k nothing"):
        assert not Run(project, command).end().journal.read_text()


@pytest.mark.parametrize("runner", ["unittest", "unittest-parallel", "nose2", "nose2, processes", "pytest"])
def test_ctrl_c_in_a_terminal(project: Path, runner: str) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a test")
    run.wait_for_note("in a test")
    run.signal_all(signal.SIGINT)
    assert run.end().process.returncode != 0
    assert "ResourceWarning" not in run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("runner", ["unittest", "unittest-parallel", "nose2", "nose2, processes", "pytest"])
def test_all_of_it_is_killed(project: Path, runner: str, number: signal.Signals) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a test")
    run.wait_for_note("in a test")
    run.signal_all(number)
    assert run.end().process.returncode != 0


@pytest.mark.parametrize(
    ("runner", "number"),
    [
        ("unittest-parallel", signal.SIGTERM),
        ("unittest-parallel", signal.SIGKILL),
        ("nose2, processes", signal.SIGKILL),
    ],
)
def test_the_first_process_is_killed_and_its_workers_live_on(
    project: Path, runner: str, number: signal.Signals
) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a test")
    run.wait_for_note("in a test", 1)
    assert services_left(project)
    run.signal(number)
    run.process.wait(10)
    wait_for(lambda: not services_left(project), GONE, lambda: str(services_left(project)))
    run.signal_all(signal.SIGKILL)
    run.end()


@pytest.mark.parametrize("runner", ["unittest-parallel", "nose2, processes"])
def test_a_worker_is_killed_and_the_run_waits_for_it(project: Path, runner: str) -> None:
    """Both runners wait for ever, so the test ends the run."""
    run = Run(project, RUNNERS[runner], PAUSE="in a test")
    os.kill(run.wait_for_note("in a test")[0]["pid"], signal.SIGKILL)
    run.wait_for_note("test", 5)
    assert run.process.poll() is None
    run.signal_all(signal.SIGINT)
    run.end()


@pytest.mark.parametrize(
    "command",
    [
        "python -m unittest -f",
        "unittest-parallel -j 2 -f",
        "nose2 -F",
        "pytest -p no:asyncio -x",
        "pytest -p no:asyncio -x -n 2",
    ],
)
def test_first_failure_ends_the_run(project: Path, command: str) -> None:
    code = (project / "test_other_module.py").read_text()
    (project / "test_a_failure.py").write_text(code.replace('note("test", db)', "self.fail(pg.service)"))
    run = Run(project, command).end()
    assert run.process.returncode != 0
    assert "AssertionError: postgres" in run.output
    assert len(run.notes("test")) < 7


def test_a_set_up_that_fails_is_tried_once_and_fails_every_class(project: Path) -> None:
    run = Run(project, "python -m unittest test_declared", FAIL="set-up").end()
    assert run.process.returncode in (1, 5)  # 5 from Python 3.12 on: no test was run
    assert len(run.notes("set-up")) == 1
    assert len(re.findall("^ERROR: setUpClass", run.output, re.MULTILINE)) == 2
    assert len(re.findall("SetupFailed: .*LookupError: this set-up fails", run.output)) == 2


def test_a_module_context_ends_with_its_module(project: Path) -> None:
    code = """
import unittest
from journal import note
from servicectx import managed
from servicectx_unittest import enterModuleContext

def setUpModule():
    global redis
    redis = enterModuleContext(managed("redis"))

class Test(unittest.TestCase):
    def test(self):
        note("seen", redis)
"""
    for name in ("one_case.py", "two_case.py"):
        (project / name).write_text(code)
    run = Run(project, "python -W error -m unittest one_case two_case").passes()
    assert len(instances(run.notes("seen"), "redis")) == 2
    run = Run(project, "pytest -p no:asyncio -W error one_case.py two_case.py").passes()
    assert len(run.notes("seen")) == 2


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_namespace_for_each_class(project: Path, runner: str) -> None:
    for sample in project.glob("test_*.py"):
        sample.unlink()
    (project / "test_classes.py").write_text("""
from journal import migrate, note, write_a_note
from servicectx import managed
from servicectx_unittest import ServiceTestCase, service

class Base(ServiceTestCase):
    db = service(managed("postgres", setup=migrate), isolated="class")
    each = service(managed("postgres", setup=migrate), isolated="test")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert write_a_note(cls.db) == 1, "another class wrote here"

    def test_first(self):
        assert self.db.dbname == type(self).db.dbname
        note("seen", self.db, database=self.db.dbname, number=write_a_note(self.db), test=type(self).__name__)
        assert write_a_note(self.each) == 1

    test_second = test_first

class TestA(Base):
    pass

class TestB(Base):
    pass

del Base
""")
    level = " --level class" if runner == "unittest-parallel" else ""
    run = Run(project, RUNNERS[runner] + level + (" --dist loadscope" if "workers" in runner else "")).passes()
    seen = run.notes("seen")
    assert len(seen) == 4, run.output
    assert len(instances(seen, "postgres")) == 1
    databases = {case: {note["database"] for note in seen if note["test"] == case} for case in ("TestA", "TestB")}
    for case, names in databases.items():
        if "processes" not in runner:  # nose2 may give each test of a class to another process
            assert len(names) == 1
            assert sorted(note["number"] for note in seen if note["test"] == case) == [2, 3]
    assert not databases["TestA"] & databases["TestB"]


def test_the_next_class_gets_a_new_server_when_one_died(project: Path) -> None:
    (project / "dying_case.py").write_text("""
import os
import redis
from journal import note
from servicectx import managed
from servicectx_unittest import ServiceTestCase, service

class Base(ServiceTestCase):
    redis = service(managed("redis"))

class TestA(Base):
    def test(self):
        with redis.Redis.from_url(self.redis.url) as client:
            os.kill(client.info("server")["process_id"], 9)

class TestB(Base):
    def test(self):
        note("seen", self.redis)
""")
    run = Run(project, "python -m unittest dying_case").passes()
    assert len(run.notes("seen")) == 1


def test_a_forked_child_leaves_nothing(project: Path) -> None:
    (project / "forking_case.py").write_text("""
import os, sys, unittest
from journal import note
from servicectx import managed
from servicectx_unittest import ServiceTestCase, enterModuleContext, enterRunContext, service

def setUpModule():
    global one, two
    one, two = enterRunContext(managed("redis", name="one")), enterModuleContext(managed("redis", name="two"))

class Test(ServiceTestCase):
    three = service(managed("redis", name="three"))

    def test(self):
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        for each in (one, two, self.three):
            note("seen", each)
""")
    run = Run(project, "python -m unittest forking_case").end()
    assert len(run.notes("seen")) == 3


def test_what_goes_wrong_is_said(project: Path) -> None:
    (project / "wrong_case.py").write_text("""
import sys, unittest
from servicectx import managed
from servicectx_unittest import ServiceTestCase, service

class TestFiles(ServiceTestCase):
    command = [sys.executable, "-m", "http.server", "--bind", "{host}", "{port}"]
    files = service(managed("command", command=command), isolated=True)

    def test(self):
        self.files

class TestForgotten(ServiceTestCase):
    redis = service(managed("redis"))

    @classmethod
    def setUpClass(cls):
        pass

    def test(self):
        self.redis
""")
    run = Run(project, "python -m unittest wrong_case").end()
    assert "NotIsolable: command cannot be isolated" in run.output
    assert "redis is entered by ServiceTestCase.setUpClass: call super().setUpClass()" in run.output


def test_a_start_that_is_interrupted_is_begun_again_by_the_next_class(project: Path) -> None:
    (project / "interrupted_case.py").write_text("""
import signal
from journal import note
from servicectx import managed
from servicectx_unittest import ServiceTestCase, service

class TimeOut(BaseException):
    pass

def time_out(*_):
    raise TimeOut

def fill(redis):
    if not tries:
        tries.append(1)
        signal.alarm(1)
        signal.pause()

tries = []
signal.signal(signal.SIGALRM, time_out)

class Base(ServiceTestCase):
    redis = service(managed("redis", setup=fill))

try:
    Base.setUpClass()
except TimeOut:
    note("interrupted")

class Test(Base):
    def test(self):
        note("seen", self.redis)
""")
    run = Run(project, "python -W error -m unittest interrupted_case").passes()
    assert len(run.notes("interrupted")) == len(run.notes("seen")) == 1
