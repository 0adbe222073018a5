from decimal import Decimal

import pytest
from models import Customer, Order
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError


@pytest.fixture
def ada(session):
    ada = Customer(name="ada")
    session.add(ada)
    session.commit()  # permanent: only this test uses the database
    return ada


def test_orders_belong_to_a_customer(session, ada):
    ada.orders.append(Order(total=Decimal("9.90")))
    session.commit()
    assert session.scalar(select(func.sum(Order.total)).join(Customer).where(Customer.name == "ada")) == Decimal("9.90")


def test_names_are_unique(session, ada):
    session.add(Customer(name="ada"))
    with pytest.raises(IntegrityError):
        session.commit()


def test_orders_are_numbered_from_one(session, ada):
    ada.orders.append(Order(total=1))
    session.commit()
    assert ada.orders[0].id == 1
