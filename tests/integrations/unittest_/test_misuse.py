"""Wrong uses of `servicectx_unittest`. Each error names the correct code."""

from pathlib import Path

import pytest

from tests.integrations.runs import Run, copy

SAMPLE = Path(__file__).with_name("sample")

HEAD = """
import unittest
from servicectx import managed
from servicectx_unittest import ServiceTestCase, enterModuleContext, enterRunContext, service
"""

A_NAME = """
class Test(ServiceTestCase):
    cache = service("redis")

    def test(self):
        self.cache
"""

THE_FUNCTION = """
class Test(ServiceTestCase):
    cache = service(managed)

    def test(self):
        self.cache
"""

ONE_FOR_TWO = """
redis = managed("redis")

class Test(ServiceTestCase):
    one = service(redis)
    two = service(redis)

    def test(self):
        self.one
"""

A_PLAIN_TEST_CASE = """
class Test(unittest.TestCase):
    cache = service(managed("redis"))

    def test(self):
        self.cache.url
"""

SET_IN_A_TEST = """
class Test(ServiceTestCase):
    def test(self):
        self.cache = service(managed("redis"))
        self.cache.url
"""

READ_TOO_EARLY = """
class Test(ServiceTestCase):
    cache = service(managed("redis"))

    def test(self):
        pass

Test.cache.url
"""

A_NAME_FOR_THE_RUN = """
def setUpModule():
    enterRunContext("redis")

class Test(unittest.TestCase):
    def test(self):
        pass
"""

ANOTHER_WIDTH = """
class Test(ServiceTestCase):
    cache = service(managed("redis"), isolated="module")

    def test(self):
        self.cache
"""

OF_ANOTHER_CLASS = """
class Base(ServiceTestCase):
    cache = service(managed("redis"), isolated="class")

class Test(Base):
    def test(self):
        Base.cache.url
"""

MISUSES = {
    ANOTHER_WIDTH: 'ValueError: service(isolated=\'module\'): write True or "test", "class", or False',
    OF_ANOTHER_CLASS: "no 'url' here: cache is a declaration, service(...), and gives no details yet",
    A_NAME: "TypeError: service() takes managed(...), not 'redis': write service(managed(\"redis\"))",
    THE_FUNCTION: "TypeError: service() takes managed(...), not <function managed",
    ONE_FOR_TWO: "belongs to another service(...) already; write managed(...) in each service(...)",
    A_PLAIN_TEST_CASE: "cache is not entered: Test is not a ServiceTestCase; write class Test(ServiceTestCase)",
    SET_IN_A_TEST: "no 'url' here: a service is a declaration, service(...), and gives no details yet",
    READ_TOO_EARLY: "no 'url' here: cache is a declaration, service(...), and gives no details yet",
    A_NAME_FOR_THE_RUN: "enterRunContext() takes a context manager, not 'redis': write enterRunContext(managed(",
    A_NAME_FOR_THE_RUN.replace("Run", "Module"): 'write enterModuleContext(managed("redis"))',
}


@pytest.mark.parametrize("code", MISUSES)
def test_each_misuse_has_an_error_of_its_own(place: Path, code: str) -> None:
    project = copy(SAMPLE, place / "project")
    (project / "misuse_case.py").write_text(HEAD + code)
    run = Run(project, "python -W error -m unittest misuse_case").end()
    assert run.process.returncode == 1
    assert MISUSES[code] in run.output, run.output
