import asyncio
import unittest

import psycopg
from journal import migrate, note, write_a_note
from servicectx_unittest import ServiceTestCase, service

from servicectx import managed


class NotesCase(ServiceTestCase):
    db = service(managed("postgres", setup=migrate), isolated=True)


class TestOne(NotesCase):
    def setUp(self):
        self.assertEqual(write_a_note(self.db), 1)

    def test_first(self):
        self.assertEqual(write_a_note(self.db), 2)
        note("test", self.db)

    def test_second(self):
        self.assertEqual(write_a_note(self.db), 2)
        note("test", self.db)


class TestAsync(NotesCase, unittest.IsolatedAsyncioTestCase):
    redis = service(managed("redis"))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        note("class", cls.redis)

    async def asyncSetUp(self):
        self.connection = await psycopg.AsyncConnection.connect(self.db.url)
        self.addAsyncCleanup(self.connection.close)

    async def test_async(self):
        await asyncio.sleep(0)
        rows = await self.connection.execute("select count(*) from notes")
        self.assertEqual(await rows.fetchone(), (0,))
        note("test", self.db)

    async def test_context(self):
        redis = await self.enterAsyncContext(managed("redis"))
        self.assertEqual(redis, self.redis)
