from decimal import Decimal

import pytest
from shop import UnknownProduct


def test_an_order_is_found_again(shop):
    number = shop.place("apple", 2)
    assert shop.orders() == [(number, "apple", 2, Decimal("3.00"))]


def test_orders_are_numbered_from_one(shop):
    assert [shop.place("apple", 1), shop.place("pear", 1)] == [1, 2]


def test_an_unknown_product_is_refused(shop):
    with pytest.raises(UnknownProduct):
        shop.place("durian", 1)
    assert shop.orders() == []


def test_a_new_price_counts_at_once(shop):
    shop.place("pear", 1)
    shop.set_price("pear", 5)
    shop.place("pear", 1)
    assert [total for *_, total in shop.orders()] == [2, 5]
