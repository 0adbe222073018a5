from decimal import Decimal

from journal import note
from servicectx_unittest import ServiceTestCase, service
from shop import Shop, UnknownProduct
from shop.schema import migrate

from servicectx import managed


class TestPlacing(ServiceTestCase):
    db = service(managed("postgres", name="orders", setup=migrate), isolated=True)
    cache = service(managed("redis"), isolated=True)

    def setUp(self):
        note("test", self.db, name=self._testMethodName)
        note("test", self.cache, name=self._testMethodName)
        self.shop = Shop(self.db.url, self.cache.url)
        self.addCleanup(self.shop.close)

    def test_an_order_is_found_again(self):
        number = self.shop.place("apple", 2)
        self.assertEqual(self.shop.orders(), [(number, "apple", 2, Decimal("3.00"))])

    def test_orders_are_numbered_from_one(self):
        self.assertEqual([self.shop.place("apple", 1), self.shop.place("pear", 1)], [1, 2])

    def test_an_unknown_product_is_refused(self):
        with self.assertRaises(UnknownProduct):
            self.shop.place("durian", 1)
        self.assertEqual(self.shop.orders(), [])

    def test_a_new_price_counts_at_once(self):
        self.shop.place("pear", 1)
        self.shop.set_price("pear", 5)
        self.shop.place("pear", 1)
        self.assertEqual([total for *_, total in self.shop.orders()], [2, 5])
