"""The order service. It gets two URLs, and does not depend on their origin."""

from decimal import Decimal

import psycopg
import redis


class UnknownProduct(LookupError):
    pass


class NotEnough(ValueError):
    pass


class Shop:
    def __init__(self, database_url, cache_url):
        self.database_url = database_url
        self.cache = redis.Redis.from_url(cache_url, decode_responses=True)

    def close(self):
        self.cache.close()

    def place(self, product, quantity):
        """Take a quantity from the stock; the number of the order."""
        total = self.price(product) * quantity
        try:
            with psycopg.connect(self.database_url) as connection:
                connection.execute("update products set stock = stock - %s where name = %s", [quantity, product])
                order = connection.execute(
                    "insert into orders (product, quantity, total) values (%s, %s, %s) returning id",
                    [product, quantity, total],
                )
                return order.fetchone()[0]
        except psycopg.errors.CheckViolation:
            raise NotEnough(product) from None

    def orders(self):
        """All orders as (number, product, quantity, total)."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute("select id, product, quantity, total from orders order by id").fetchall()

    def stock(self, product):
        with psycopg.connect(self.database_url) as connection:
            return connection.execute("select stock from products where name = %s", [product]).fetchone()[0]

    def price(self, product):
        cached = self.cache.get(f"price:{product}")
        if cached is not None:
            return Decimal(cached)
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("select price from products where name = %s", [product]).fetchone()
        if row is None:
            raise UnknownProduct(product)
        self.cache.set(f"price:{product}", str(row[0]))
        return row[0]

    def set_price(self, product, price):
        with psycopg.connect(self.database_url) as connection:
            connection.execute("update products set price = %s where name = %s", [price, product])
        self.cache.delete(f"price:{product}")
