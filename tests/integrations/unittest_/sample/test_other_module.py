import unittest

from journal import migrate, note, write_a_note
from servicectx_unittest import enterRunContext

from servicectx import isolated, managed


def setUpModule():
    global pg
    pg = enterRunContext(managed("postgres", setup=migrate))


class TestMore(unittest.TestCase):
    def test_more(self):
        with isolated(pg) as db:
            self.assertEqual(write_a_note(db), 1)
            note("test", db)
