import pytest
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from shop.models import Product


@pytest.mark.django_db
def test_a_product_is_found_by_its_tag():
    Product.objects.create(name="apple", tags=["fruit", "red"])
    Product.objects.create(name="leek", tags=["green"])
    assert Product.objects.get(tags__contains=["fruit"]).name == "apple"


@pytest.mark.django_db
def test_each_worker_has_a_clone():
    assert connection.settings_dict["NAME"].startswith("sc_")
    assert not Product.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_commit_is_real():
    reported = []
    with transaction.atomic():
        Product.objects.create(name="apple")
        transaction.on_commit(lambda: reported.append("apple"))
    assert reported == ["apple"]


class TestInOneTransaction(TestCase):
    def test_it_starts_empty(self):
        Product.objects.create(name="apple")
        self.assertEqual(Product.objects.count(), 1)


class TestWithCommits(TransactionTestCase):
    def test_rows_are_locked(self):
        Product.objects.create(name="apple")
        with transaction.atomic():
            self.assertEqual(Product.objects.select_for_update(nowait=True).get().name, "apple")
