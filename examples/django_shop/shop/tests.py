from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase

from shop.models import Product


class TestProducts(TestCase):
    def test_a_product_is_found_by_its_tag(self):
        Product.objects.create(name="apple", price="1.50", tags=["fruit", "red"])
        Product.objects.create(name="leek", price="0.90", tags=["green"])
        found = Product.objects.filter(tags__contains=["fruit"])  # only Postgres supports it
        self.assertEqual([product.name for product in found], ["apple"])

    def test_names_are_unique(self):
        Product.objects.create(name="apple", price="1.50")
        with self.assertRaises(IntegrityError), transaction.atomic():
            Product.objects.create(name="apple", price="2.00")


class TestTransactions(TransactionTestCase):
    def test_rows_are_locked(self):
        Product.objects.create(name="apple", price="1.50")
        with transaction.atomic():
            apple = Product.objects.select_for_update(nowait=True).get()
            self.assertEqual(str(apple), "apple")

    def test_it_is_postgres(self):
        self.assertEqual(connection.vendor, "postgresql")
