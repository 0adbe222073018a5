from concurrent.futures import ThreadPoolExecutor

import pytest
from shop import NotEnough


def test_an_order_is_taken_from_the_stock(shop):
    shop.place("apple", 4)
    assert shop.stock("apple") == 6


def test_more_than_the_stock_is_refused(shop):
    with pytest.raises(NotEnough):
        shop.place("pear", 4)
    assert shop.stock("pear") == 3
    assert shop.orders() == []


def test_customers_at_once_get_no_more_than_there_is(shop):
    with ThreadPoolExecutor(5) as customers:
        outcomes = [customers.submit(shop.place, "pear", 1).exception for _ in range(5)]
        refused = [error for outcome in outcomes if (error := outcome())]
    assert len(refused) == 2
    assert shop.stock("pear") == 0


def test_the_cache_answers_for_the_price(shop):
    shop.cache.set("price:apple", "9")
    shop.place("apple", 1)
    assert shop.orders()[0][-1] == 9
