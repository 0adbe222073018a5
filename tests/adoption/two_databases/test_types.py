import sqlalchemy as sa


def test_a_decimal_is_exact(engine: sa.Engine) -> None:
    table = sa.Table("prices", sa.MetaData(), sa.Column("price", sa.Numeric(10, 2)))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"price": "0.10"}, {"price": "0.20"}])
        assert str(connection.execute(sa.select(sa.func.sum(table.c.price))).scalar_one()) == "0.30"
        table.drop(connection)
