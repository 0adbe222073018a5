import pytest
from journal import note
from servicectx_pytest import service_fixture
from shop import Shop
from shop.schema import migrate

orders_db = service_fixture("postgres", name="orders", setup=migrate, isolated=True)


@pytest.fixture
def shop(orders_db, isolated_redis, request):
    note("test", orders_db, name=request.node.name)
    note("test", isolated_redis, name=request.node.name)
    shop = Shop(orders_db.url, isolated_redis.url)
    yield shop
    shop.close()
