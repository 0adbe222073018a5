"""The schema, and the products that every test starts with. The journal counts the set-ups."""

import psycopg
from journal import note

SCHEMA = """
create table products (name text primary key, price numeric not null, stock int not null check (stock >= 0));
create table orders (
    id int generated always as identity primary key,
    product text not null references products,
    quantity int not null check (quantity > 0),
    total numeric not null
);
insert into products values ('apple', 1.50, 10), ('pear', 2.00, 3);
"""


def migrate(pg):
    with psycopg.connect(pg.url) as connection:
        connection.execute(SCHEMA)
    note("set-up", pg)
