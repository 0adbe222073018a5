import unittest

from journal import come_to, migrate, note, write_a_note
from servicectx_unittest import enterModuleContext, enterRunContext

from servicectx import isolated, managed


def setUpModule():
    global pg, cache
    pg = enterRunContext(managed("postgres", setup=migrate))
    cache = enterModuleContext(managed("redis", name="cache"))


class TestNotes(unittest.TestCase):
    def setUp(self):
        self.db = self.enterContext(isolated(pg))

    def test_first(self):
        self.assertEqual(write_a_note(self.db), 1)
        note("test", self.db)
        come_to("in a test")

    def test_second(self):
        self.assertEqual(write_a_note(self.db), 1)
        note("test", self.db)
        note("test", cache)


class TestClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.redis = cls.enterClassContext(managed("redis"))

    def test_redis(self):
        note("class", self.redis)
