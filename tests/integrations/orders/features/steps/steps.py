from concurrent.futures import ThreadPoolExecutor

from behave import given, then, when
from shop import NotEnough, UnknownProduct


@when("{quantity:d} {product} are ordered")
@when("{quantity:d} {product} is ordered")
def step_order(context, quantity, product):
    context.number = context.shop.place(product, quantity)


@when("the price of {product} is set to {price:g}")
def step_price(context, product, price):
    context.shop.set_price(product, price)


@when("{customers:d} customers order {quantity:d} {product} each at once")
def step_crowd(context, customers, quantity, product):
    with ThreadPoolExecutor(customers) as crowd:
        orders = [crowd.submit(context.shop.place, product, quantity) for _ in range(customers)]
    context.refused = [error for order in orders if (error := order.exception())]


@given("the cache says that {product} costs {price}")
def step_cached(context, product, price):
    context.shop.cache.set(f"price:{product}", price)


@then("{quantity:d} {product} cannot be ordered")
def step_refused(context, quantity, product):
    try:
        context.shop.place(product, quantity)
    except (NotEnough, UnknownProduct):
        return
    raise AssertionError("it was ordered")


@then("{count:d} customers are refused")
def step_refusals(context, count):
    assert len(context.refused) == count, context.refused


@then("the orders are")
def step_orders(context):
    expected = [(row["number"], row["product"], row["quantity"], row["total"]) for row in context.table]
    orders = context.shop.orders()
    assert [tuple(str(value) for value in order) for order in orders] == expected, orders


@then("there are no orders")
def step_no_orders(context):
    assert context.shop.orders() == []


@then("the stock of {product} is {count:d}")
def step_stock(context, product, count):
    assert context.shop.stock(product) == count
