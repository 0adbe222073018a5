from journal import note
from servicectx_behave import use_service
from shop import Shop
from shop.schema import migrate


def before_all(context):
    use_service(context, "postgres", name="orders", setup=migrate)
    use_service(context, "redis")


def before_scenario(context, scenario):
    db, cache = use_service(context, "orders", isolated=True), use_service(context, "redis", isolated=True)
    name = "test_" + scenario.name.replace(" ", "_")
    note("test", db, name=name)
    note("test", cache, name=name)
    context.shop = Shop(db.url, cache.url)
    context.add_cleanup(context.shop.close)
