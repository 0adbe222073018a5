import unittest
from concurrent.futures import ThreadPoolExecutor

from journal import note
from servicectx_unittest import enterRunContext
from shop import NotEnough, Shop
from shop.schema import migrate

from servicectx import isolated, managed


def setUpModule():
    global pg, redis
    pg = enterRunContext(managed("postgres", name="orders", setup=migrate))
    redis = enterRunContext(managed("redis"))


class TestStock(unittest.TestCase):
    def setUp(self):
        db, cache = self.enterContext(isolated(pg)), self.enterContext(isolated(redis))
        note("test", db, name=self._testMethodName)
        note("test", cache, name=self._testMethodName)
        self.shop = Shop(db.url, cache.url)
        self.addCleanup(self.shop.close)

    def test_an_order_is_taken_from_the_stock(self):
        self.shop.place("apple", 4)
        self.assertEqual(self.shop.stock("apple"), 6)

    def test_more_than_the_stock_is_refused(self):
        with self.assertRaises(NotEnough):
            self.shop.place("pear", 4)
        self.assertEqual(self.shop.stock("pear"), 3)
        self.assertEqual(self.shop.orders(), [])

    def test_customers_at_once_get_no_more_than_there_is(self):
        with ThreadPoolExecutor(5) as customers:
            outcomes = [customers.submit(self.shop.place, "pear", 1).exception for _ in range(5)]
            refused = [error for outcome in outcomes if (error := outcome())]
        self.assertEqual(len(refused), 2)
        self.assertEqual(self.shop.stock("pear"), 0)

    def test_the_cache_answers_for_the_price(self):
        self.shop.cache.set("price:apple", "9")
        self.shop.place("apple", 1)
        self.assertEqual(self.shop.orders()[0][-1], 9)
